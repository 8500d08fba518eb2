from __future__ import annotations

import pytest

from workbench.console import Reporter


def test_a_command_can_be_copied_from_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = f"  kubectl exec {'x' * 30} -- orchestrator-api create-token --user 42"
    Reporter().note(command)
    assert command in capsys.readouterr().err.splitlines()
