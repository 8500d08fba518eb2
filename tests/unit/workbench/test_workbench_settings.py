from __future__ import annotations

from pathlib import Path

import pytest

from workbench.settings import ClusterKind, Names, load_settings

CLONE = Path("/somewhere/agentsession")


def test_defaults() -> None:
    settings = load_settings({}, CLONE)
    assert settings.cluster is ClusterKind.LOCAL
    assert settings.names == Names("agentsession", "agentsession-system", "agents")


def test_unknown_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="minikube"):
        load_settings({"CLUSTER": "minikube"}, CLONE)


@pytest.mark.parametrize("owner", [None, str(CLONE)])
def test_the_clone_that_made_the_cluster_has_the_plain_names(owner: str | None) -> None:
    settings = load_settings({}, CLONE)
    assert settings.demo_names(owner) == settings.names


def test_any_other_clone_adds_a_suffix_of_its_own_to_all_three() -> None:
    first, second = (load_settings({}, Path(path)) for path in ("/a", "/b"))
    names = {
        first.demo_names("/owner"),
        second.demo_names("/owner"),
        first.test_names(),
        second.test_names(),
        first.names,
    }
    assert len(names) == 5
    other = second.demo_names("/owner")
    assert other.release.startswith("agentsession-")
    assert other.namespace.startswith("agentsession-system-")
    assert other.sessions_namespace.startswith("agents-")


def test_the_tests_names_say_so_and_fit_a_namespace() -> None:
    names = load_settings({}, CLONE).test_names()
    for name in (names.release, names.namespace, names.sessions_namespace):
        assert "-test-" in name
        assert len(name) <= 53


TOKEN = "123456:a-token_of-this-test"


def test_a_bot_s_token_and_its_people() -> None:
    given = {"TELEGRAM_TOKEN": f" {TOKEN}\n", "TELEGRAM_USERS": "12, 6123456789 12"}
    settings = load_settings(given, CLONE)
    assert settings.telegram_token == TOKEN
    assert settings.telegram_users == (12, 6123456789)


@pytest.mark.parametrize("token", ["secret-word", "12:", "12:with space"])
def test_a_wrong_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="TELEGRAM_TOKEN") as refused:
        load_settings({"TELEGRAM_TOKEN": token}, CLONE)
    assert token not in str(refused.value)


@pytest.mark.parametrize("users", ["@ada", "ada", "0", "-100123"])
def test_people_are_numbers(users: str) -> None:
    with pytest.raises(ValueError, match="numeric ids alone"):
        load_settings({"TELEGRAM_USERS": users}, CLONE)
