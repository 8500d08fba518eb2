"""Where the configuration is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_cli.configuration import config_path, load


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"ORCHESTRATOR_CONFIG": "/a/b.json", "HOME": "/home/ada"}, "/a/b.json"),
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/home/ada"}, "/x/orchestrator/config.json"),
        ({"HOME": "/home/ada"}, "/home/ada/.config/orchestrator/config.json"),
    ],
)
def test_in_order(environment: dict[str, str], path: str) -> None:
    assert config_path(environment) == Path(path)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    found = load({"ORCHESTRATOR_API_URL": "http://orchestrator"})
    assert found.url.text == "http://orchestrator"
    assert not found.path.parts[0].startswith("~")
    assert not found.path.exists()
