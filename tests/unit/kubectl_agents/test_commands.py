"""Command lines, through click's own runner, with a stand-in for kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsession_testing import kubectl_stand_in
from kubectl_agents.app import run
from kubectl_agents.completion import candidates
from kubectl_agents.errors import Exit

ADA: dict[str, Any] = {
    "metadata": {"name": "ada", "namespace": "agents"},
    "spec": {"user": {"id": "42"}},
    "status": {"phase": "Suspended", "observedGeneration": 1},
}


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kubectl_stand_in.install(tmp_path, sessions=[ADA, {**ADA, "metadata": {"name": "bob"}}])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.usefixtures("kubectl")
class TestAnswers:
    def test_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = said(capsys, "list")
        assert code == Exit.OK
        assert [line.split()[0] for line in out.splitlines()] == ["NAME", "ada", "bob"]

    def test_list_for_programs(self, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (("list", "--json"), ("--json", "list")):
            code, out, _ = said(capsys, *arguments)
            assert code == Exit.OK
            assert [one["name"] for one in json.loads(out)] == ["ada", "bob"]

    def test_why(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = said(capsys, "why", "ada")
        assert code == Exit.OK
        assert out.startswith("ada sleeps")
        assert json.loads(said(capsys, "why", "ada", "--json")[1])["phase"] == "Suspended"

    def test_suspend_and_resume(self, kubectl: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for command, mode in (("suspend", "Suspended"), ("resume", "Running")):
            code, out, _ = said(capsys, command, "ada")
            assert code == Exit.OK
            assert "ada" in out
            world = json.loads((kubectl / "world.json").read_text())
            assert world["sessions"][0]["spec"]["operatingMode"] == mode

    def test_the_options_are_kubectls_before_or_after(
        self, kubectl: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(["-n", "one", "--context", "two", "list", "--kubeconfig", "three"])
        capsys.readouterr()
        assert kubectl_stand_in.calls(kubectl)[-1][:3] == [
            "--namespace=one",
            "--context=two",
            "--kubeconfig=three",
        ]


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["frob"], Exit.USAGE),
        (["why"], Exit.USAGE),
        (["why", "a", "b"], Exit.USAGE),
        (["why", "--frob", "ada"], Exit.USAGE),
        (["why", "-x"], Exit.USAGE),
        (["why", "--", "-x"], Exit.USAGE),
        (["why", "../other"], Exit.USAGE),
        (["why", "ADA"], Exit.USAGE),
        (["why", "a" * 254], Exit.USAGE),
        (["why", ""], Exit.USAGE),
        (["chat", "ada", "--timeout", "0"], Exit.USAGE),
        (["chat", "ada", "--timeout", "soon"], Exit.USAGE),
        (["chat", "ada", "--history", "-1"], Exit.USAGE),
        (["chat", "ada", "-m", "  "], Exit.USAGE),
        (["completion", "tcsh"], Exit.USAGE),
        (["why", "nobody"], Exit.NOT_FOUND),
        (["suspend", "nobody"], Exit.NOT_FOUND),
        (["chat", "nobody", "-m", "hi"], Exit.NOT_FOUND),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_refused(
    arguments: list[str], code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *arguments)[0] == code


def test_an_error_names_the_cause_and_the_next_step(
    kubectl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl_stand_in.install(kubectl, fail="Error from server (Forbidden): no")
    code, out, err = said(capsys, "list")
    assert (code, out) == (Exit.NOT_ALLOWED, "")
    assert err.splitlines()[0] == "✘ no"
    assert err.splitlines()[1].startswith("  → ask for Role")
    code, _, err = said(capsys, "list", "--json")
    assert json.loads(err)["error"]["code"] == Exit.NOT_ALLOWED == code


def test_without_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = said(capsys, "list")
    assert code == Exit.UNREACHABLE
    assert "kubectl is not on PATH" in err


@pytest.mark.usefixtures("kubectl")
def test_a_message_to_a_session_suspended_by_hand_is_not_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said(capsys, "suspend", "ada")
    code, _, err = said(capsys, "chat", "ada", "-m", "hi")
    assert code == Exit.REFUSED
    assert "kubectl agents resume ada" in err


@pytest.mark.usefixtures("kubectl")
class TestCompletion:
    def test_commands(self) -> None:
        lines = candidates(["s"])
        assert [line.split("\t")[0] for line in lines] == ["suspend", ":4"]

    def test_sessions(self) -> None:
        assert candidates(["chat", ""]) == ["ada\tSuspended", "bob\tSuspended", ":4"]
        assert candidates(["-n", "agents", "why", "b"]) == ["bob\tSuspended", ":4"]

    def test_options(self) -> None:
        assert "--timeout" in [line.split("\t")[0] for line in candidates(["chat", "--t"])]

    def test_without_a_cluster_there_is_nothing_and_no_noise(
        self, kubectl: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kubectl_stand_in.install(kubectl, fail="Unable to connect to the server: no")
        assert candidates(["chat", ""]) == [":4"]
        assert capsys.readouterr() == ("", "")
