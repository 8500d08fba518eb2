"""The real Claude Code CLI in tests: where it is, whose files it gets, as whom it runs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentsession_testing.runner_process import Volume, make_volume

AGENT_UID = 1000


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The binary that `CLAUDE_BINARY` names: unset, the test is skipped; naming no file, it fails."""
    named = os.environ.get("CLAUDE_BINARY")
    if named is None:
        pytest.skip("CLAUDE_BINARY is not set: it names the Claude Code binary to test with")
    binary = Path(named)
    if not binary.is_file():
        pytest.fail(f"CLAUDE_BINARY names {named}, which is no file")
    return binary


def end_processes_in(directory: Path) -> None:
    """What a killed runner leaves: in a pod it would end with the container."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink().is_relative_to(directory):
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or somebody else's


@pytest.fixture
def volume() -> Iterator[Volume]:
    """A workspace volume that the agent's user owns."""
    with agent_volume() as made:
        yield made


@contextmanager
def agent_volume() -> Iterator[Volume]:
    """A workspace volume that the agent's user owns; removed at the end."""
    # Not pytest's own directory: only the user who runs the tests may enter that.
    directory = Path(tempfile.mkdtemp(prefix="agentsession-runner-"))
    volume = make_volume(directory)
    if os.geteuid() == 0:
        for path in (directory, volume.root, volume.home, volume.token):
            os.chown(path, AGENT_UID, AGENT_UID)
    yield volume
    end_processes_in(directory)
    shutil.rmtree(directory)


def as_agent() -> tuple[str, ...]:
    """The command that starts another as the agent's user.

    The CLI refuses to skip permissions as root; as another user nothing needs changing.
    """
    if os.geteuid() != 0:
        return ()
    # The checkout and its Python may lie where only root may read.
    capabilities = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return (
        "setpriv",
        f"--reuid={AGENT_UID}",
        f"--regid={AGENT_UID}",
        "--clear-groups",
        *capabilities,
    )
