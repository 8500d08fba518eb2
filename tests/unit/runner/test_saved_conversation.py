"""The conversation's file: whether there is one that can be gone on with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agentsession_runner.drivers.claude_code.saved_conversation import (
    BEGINNING_BYTES,
    conversation_bytes,
)

ID = "11111111-1111-4111-8111-111111111111"
META = {"type": "queue-operation", "operation": "enqueue", "content": "hello"}
SAID = {"parentUuid": None, "type": "user", "uuid": "a"}
ANSWERED = {"parentUuid": "a", "type": "assistant", "uuid": "b"}
RESULT = {"parentUuid": "b", "type": "user", "uuid": "c"}
REQUEST = {"type": "api-request", "base": "x"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the conversation's file belongs."""
    directory = tmp_path / "projects" / "-a"
    directory.mkdir(parents=True)
    return directory / f"{ID}.jsonl"


def test_it_is_a_real_file_in_any_project(tmp_path: Path, file: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    (tmp_path / "projects" / "stray").write_text("x")
    assert conversation_bytes(tmp_path, ID) == 0
    file.symlink_to(outside)
    assert conversation_bytes(tmp_path, ID) == 0
    file.unlink()
    os.mkfifo(file)
    assert conversation_bytes(tmp_path, ID) == 0
    file.unlink()
    file.touch()
    assert conversation_bytes(tmp_path, ID) == 0
    file.write_text("{}\n")
    assert conversation_bytes(tmp_path, ID) == 3


def test_no_projects_are_no_conversation(tmp_path: Path) -> None:
    assert conversation_bytes(tmp_path, ID) == 0


@pytest.mark.parametrize(
    ("records", "is_whole"),
    [
        ([META, SAID, ANSWERED, RESULT], True),
        ([META, META, SAID], True),
        ([META], True),
        ([REQUEST, META], True),
        ([RESULT, REQUEST], False),
        ([ANSWERED, RESULT, REQUEST], False),
        ([REQUEST, META, RESULT], False),
        # What an agent may write: no records, no objects, another order.
        ([[], 1, None, "x"], True),
        ([[], RESULT, SAID], False),
    ],
)
def test_a_file_that_begins_in_the_middle_is_none(
    tmp_path: Path, file: Path, records: list[object], is_whole: bool
) -> None:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert conversation_bytes(tmp_path, ID) == (file.stat().st_size if is_whole else 0)


@pytest.mark.parametrize("text", [b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"par', b"\n\n", b"\0"])
def test_what_is_no_record_is_passed_over(tmp_path: Path, file: Path, text: bytes) -> None:
    file.write_bytes(text + b"\n" + json.dumps(RESULT).encode())
    assert conversation_bytes(tmp_path, ID) == 0
    file.write_bytes(text + b"\n" + json.dumps(SAID).encode())
    assert conversation_bytes(tmp_path, ID) == file.stat().st_size


def test_no_more_than_the_beginning_is_read(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"x" * BEGINNING_BYTES + b"\n" + json.dumps(RESULT).encode())
    assert conversation_bytes(tmp_path, ID) == file.stat().st_size
