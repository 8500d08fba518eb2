"""What `make test` makes of two pytest processes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.console import Reporter, WorkbenchError
from workbench.suites import run_suites

PASSES = "def test_it(): pass"
FAILS = "def test_it(): assert False"


def folders(root: Path, pods: str, servers: str) -> None:
    for name, text in (("e2e", pods), ("integration", servers)):
        (root / "tests" / name).mkdir(parents=True)
        (root / "tests" / name / f"test_{name}.py").write_text(text)


def run(root: Path, *arguments: str) -> None:
    run_suites(["-q", *arguments], {}, root / "beside.log", Reporter())


def test_both_pass_and_both_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path, PASSES, PASSES)
    monkeypatch.chdir(tmp_path)
    run(tmp_path)
    assert capfd.readouterr().out.count("1 passed") == 2


def test_the_runners_are_run_once_after_the_pods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path, PASSES, PASSES)
    for name in ("test_runner_process.py", "test_runner_with_claude.py", "test_z.py"):
        (tmp_path / "tests" / "integration" / name).write_text(PASSES)
    monkeypatch.chdir(tmp_path)
    run(tmp_path)
    shown = capfd.readouterr().out
    assert shown.index("3 passed") < shown.index("2 passed")


@pytest.mark.parametrize(
    ("pods", "servers", "named"),
    [
        (FAILS, PASSES, "tests/e2e"),
        (PASSES, FAILS, "tests/integration"),
        (FAILS, FAILS, "tests/e2e, tests/integration"),
    ],
)
def test_a_failure_of_either_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pods: str, servers: str, named: str
) -> None:
    folders(tmp_path, pods, servers)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkbenchError, match=f"tests failed in {named}$"):
        run(tmp_path)


def test_a_choice_may_leave_one_folder_empty_but_not_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(tmp_path, PASSES, PASSES.replace("test_it", "test_resume"))
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "-k", "resume")
    with pytest.raises(WorkbenchError, match="no test was run"):
        run(tmp_path, "-k", "nothing")


def test_a_path_is_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path, PASSES, FAILS)
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "tests/e2e")
    assert "1 passed" in capfd.readouterr().out
