"""The file in which Claude Code keeps a conversation: one JSON record a line, only ever appended to.

Every record of what was said names the one before it as its parent; the first has none. An agent
that removes the file while its CLI runs leaves a stump: the CLI begins the file again with whatever
comes next. A CLI that resumes a stump may ask the model with a conversation that begins in the
middle of a tool call. The model's API refuses that, and would refuse it in every later turn.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from agentsession_runner.safe_files import READ_FLAGS

PROJECTS: Final = "projects"
# Before the first record of what was said stand a few short ones, and the prompt once more.
BEGINNING_BYTES: Final = 4 * 1024 * 1024


def conversation_bytes(config_directory: Path, session_id: str) -> int:
    """Size of a conversation's file in any project of the configuration directory.

    0 if there is none that has its beginning.
    """
    try:
        with os.scandir(config_directory / PROJECTS) as projects:
            return max((_saved_bytes(project.path, session_id) for project in projects), default=0)
    except OSError:
        return 0


def _saved_bytes(project: str, session_id: str) -> int:
    try:
        descriptor = os.open(Path(project, f"{session_id}.jsonl"), READ_FLAGS)
    except OSError:
        # No project, or one that the agent closed: the conversation may lie in the next.
        return 0
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _is_stump(file):
            return 0
        return status.st_size


def _is_stump(file: BinaryIO) -> bool:
    """Whether the first record of what was said follows on another."""
    for line in _first_lines(file):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and "parentUuid" in record:
            return record["parentUuid"] is not None
    # Nothing was said yet, or the CLI has another format now: what it makes of it is seen then.
    return False


def _first_lines(file: BinaryIO) -> Iterator[bytes]:
    left = BEGINNING_BYTES
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line
