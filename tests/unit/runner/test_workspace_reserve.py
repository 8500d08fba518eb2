"""Room set aside on the volume, and what a refused write is called."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from agentsession_runner.workspace import RESERVE_BYTES, Workspace
from agentsession_runner.workspace_trouble import WorkspaceError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".agentsession").mkdir()
    return tmp_path


def test_the_reserve_is_made_once_and_given_back(root: Path) -> None:
    workspace = Workspace(root)
    reserve = root / ".agentsession" / "reserve"
    workspace.keep_reserve()
    made = reserve.stat()
    assert made.st_size == RESERVE_BYTES
    assert made.st_blocks * 512 >= RESERVE_BYTES
    workspace.keep_reserve()
    assert reserve.stat().st_ino == made.st_ino
    assert workspace.release_reserve()
    assert not reserve.exists()
    assert not workspace.release_reserve()


@pytest.mark.parametrize("kind", ["link", "short", "directory"])
def test_what_stands_in_the_place_of_the_reserve_is_replaced(root: Path, kind: str) -> None:
    reserve = root / ".agentsession" / "reserve"
    outside = root / "outside"
    outside.write_text("mine")
    if kind == "link":
        reserve.symlink_to(outside)
    elif kind == "short":
        reserve.write_text("x")
    else:
        (reserve / "deep").mkdir(parents=True)
    Workspace(root).keep_reserve()
    assert reserve.stat().st_size == RESERVE_BYTES
    assert not reserve.is_symlink()
    assert outside.read_text() == "mine"


def test_a_volume_with_room_has_no_trouble_and_keeps_nothing_of_the_look(root: Path) -> None:
    workspace = Workspace(root)
    assert workspace.trouble() is None
    assert list((root / ".agentsession").iterdir()) == []


def test_a_missing_volume_is_trouble_without_a_reserve(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "nowhere")
    workspace.keep_reserve()
    trouble = workspace.trouble()
    assert trouble is not None
    assert trouble.code == "workspace_unusable"
    assert workspace.is_short()


@pytest.mark.parametrize(
    ("number", "code", "lasting"),
    [
        (errno.ENOSPC, "workspace_full", True),
        (errno.EDQUOT, "workspace_full", True),
        (errno.EROFS, "workspace_read_only", True),
        (errno.EACCES, "workspace_read_only", True),
        (errno.EPERM, "workspace_read_only", True),
        # Another pod may mount the volume anew.
        (errno.EIO, "workspace_unusable", False),
        (errno.ESTALE, "workspace_unusable", False),
        (errno.ENOENT, "workspace_unusable", False),
    ],
)
def test_what_a_refused_write_is_called(number: int, code: str, lasting: bool) -> None:
    error = WorkspaceError("cannot write /workspace/x", OSError(number, "the cause"))
    assert (error.problem.code, error.lasting) == (code, lasting)
    assert error.is_full == (code == "workspace_full")
    assert "the cause" in error.problem.message
