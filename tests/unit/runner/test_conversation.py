from __future__ import annotations

import pytest

from agentsession_runner.conversation import (
    ATTEMPT_NOTE,
    Session,
    choose_session,
    compose_prompt,
    is_blank,
)
from agentsession_runner.orders import Message
from agentsession_runner.workspace import StoredSession, is_session_id, parse_session

OLD = "11111111-1111-4111-8111-111111111111"
NEW = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize(
    ("known", "stored", "saved", "expected"),
    [
        # Nothing is known anywhere: a new session.
        (None, None, 0, Session(3, NEW)),
        # The gateway's word, and the file is there.
        (OLD, None, 100, Session(3, OLD, 0, 100)),
        (OLD, StoredSession(3, OLD, 2), 100, Session(3, OLD, 2, 100)),
        # The volume stands in for a gateway that knows nothing.
        (None, StoredSession(3, OLD, 2), 100, Session(3, OLD, 2, 100)),
        # Another conversation's record does not count.
        (None, StoredSession(2, OLD, 2), 100, Session(3, NEW)),
        (OLD, StoredSession(2, NEW, 2), 100, Session(3, OLD, 0, 100)),
        # Announced, but cut off before its first word was saved: the same id, nothing lost.
        (OLD, StoredSession(3, OLD, 0), 0, Session(3, OLD)),
        # Answered before, and the file is gone: lost.
        (OLD, StoredSession(3, OLD, 1), 0, Session(3, NEW, lost=True)),
        (None, StoredSession(3, OLD, 1), 0, Session(3, NEW, lost=True)),
        # It is shorter than it was: what is there is not the conversation.
        (OLD, StoredSession(3, OLD, 1, 101), 100, Session(3, NEW, lost=True)),
        (OLD, StoredSession(3, OLD, 1, 100), 100, Session(3, OLD, 1, 100)),
        # The whole volume is another one: lost.
        (OLD, None, 0, Session(3, NEW, lost=True)),
        # An id that is none is nobody's.
        ("--resume", None, 100, Session(3, NEW)),
    ],
)
def test_choosing_a_session(
    known: str | None, stored: StoredSession | None, saved: int, expected: Session
) -> None:
    assert choose_session(3, known, stored, lambda _: saved, lambda: NEW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        "[" * 100_000,
        f'{{"conversation": "0", "agentSessionID": "{OLD}"}}',
        f'{{"conversation": -1, "agentSessionID": "{OLD}"}}',
        f'{{"conversation": true, "agentSessionID": "{OLD}"}}',
        '{"conversation": 0, "agentSessionID": "../../etc/passwd"}',
        '{"conversation": 0, "agentSessionID": "--help"}',
        f'{{"conversation": 0, "agentSessionID": "{OLD}", "answered": "1"}}',
        f'{{"conversation": 0, "agentSessionID": "{OLD.upper()}x"}}',
    ],
)
def test_a_record_that_makes_no_sense_is_none(text: str) -> None:
    assert parse_session(text) is None


def test_a_record() -> None:
    text = f'{{"conversation": 4, "agentSessionID": "{OLD}"}}'
    assert parse_session(text) == StoredSession(4, OLD, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(OLD, True), (OLD.replace("-", ""), False), (f"{{{OLD}}}", False), ("", False), (7, False)],
)
def test_session_ids(value: object, expected: bool) -> None:
    assert is_session_id(value) is expected


def test_prompts() -> None:
    one, two = Message("a", "one"), Message("b", "two", ("x.txt", "y.txt"))
    assert compose_prompt([one], 1) == "one"
    assert compose_prompt([one, two], 1) == "one\n\ntwo\n\nFiles: x.txt, y.txt"
    assert compose_prompt([one], 2) == f"{ATTEMPT_NOTE}\n\none"


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("a\0b", "a\ufffdb"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("a whole \ud83d\ude00 pair", "a whole 😀 pair"),
        ("\ufeff\x1b[31m\x07\t\r\n\u2028\u202e🙂", "\ufeff\x1b[31m\x07\t\r\n\u2028\u202e🙂"),
        ("x" * 100_000, "x" * 100_000),
    ],
    ids=["nul", "half a pair", "a pair in two", "the rest as it is", "long"],
)
def test_a_prompt_is_given_as_it_was_written(written: str, given: str) -> None:
    assert compose_prompt([Message("1", written)], 1) == given


@pytest.mark.parametrize(
    ("texts", "blank"),
    [
        (["", " \t\r\n"], True),
        (["\u00a0\u2003\u3000\u2028"], True),
        (["\u200b\ufeff\u200d\0\x1b"], True),
        ([" ", "x"], False),
        (["."], False),
        (["🙂"], False),
        (["\u0301"], False),
        ([], True),
    ],
)
def test_messages_with_nothing_to_read(texts: list[str], blank: bool) -> None:
    assert is_blank([Message(str(n), text) for n, text in enumerate(texts)]) is blank


def test_a_message_with_a_file_is_not_empty() -> None:
    assert not is_blank([Message("1", "", ("a.txt",))])
