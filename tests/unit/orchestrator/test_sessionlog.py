"""What a session's log says, and which words never stand in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.mailbox.model import (
    FailureRecord,
    MailboxEvent,
    MailboxState,
    RunRecord,
    RunState,
    TurnRecord,
)
from orchestrator_api.sessionlog import lines, standing

NOTHING = MailboxState.unused("e", 0.0)


def event(
    kind: str, data: dict[str, Any], turn: str = "t1", source: str = "telegram"
) -> MailboxEvent:
    return MailboxEvent("1764440000123-0", turn, kind, source, data)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (event("turn", {"phase": "begun", "attempt": 1}), "turn t1 began: a message from telegram"),
        (
            event("turn", {"phase": "begun", "attempt": 2}),
            "turn t1 began: a message from telegram, attempt 2",
        ),
        (event("turn", {"phase": "ended", "outcome": "Failed"}), "turn t1 ended: Failed"),
        (event("tool", {"name": "Bash", "summary": "cat diary"}), "turn t1 used Bash"),
        (event("respond", {"text": "secret"}, source="terminal"), "turn t1 said something"),
        (event("notice", {"text": "secret"}, "", "terminal"), "people were told something"),
        (
            event("state", {"task": "deploy-1", "state": "queued", "message": "m"}, "", "api"),
            "task deploy-1 queued: m",
        ),
        (
            event("state", {"approval": "a1", "state": "pending", "summary": "x"}, "", "api"),
            "approval a1 pending",
        ),
    ],
)
def test_lines(one: MailboxEvent, message: str) -> None:
    (line,) = lines([one])
    assert line.message == message
    assert line.at.isoformat() == "2025-11-29T18:13:20.123000+00:00"


@pytest.mark.parametrize(
    "one",
    [
        event("delta", {"text": "secret"}),
        event("usage", {"inputTokens": 3}),
        event("state", {"note": "secret"}),
        event("state", {"agentSessionID": "c"}),
        # A runner's words: it names the orchestrator, and cannot be taken for it.
        event("state", {"task": "deploy-1", "state": "succeeded"}),
        event("state", {"task": "deploy-1", "state": "succeeded"}, "t1", "api"),
        event("turn", {"phase": "unheard-of"}),
        event("turn", {"phase": 7}),
        event("of a newer release", {}),
    ],
)
def test_what_is_none_of_a_logs_affairs(one: MailboxEvent) -> None:
    assert lines([one]) == []


def test_standing() -> None:
    assert standing(NOTHING) == "no run; no turn is going on; 0 messages wait"
    busy = replace(
        NOTHING,
        waiting=3,
        run=RunRecord("uid/4", RunState.OPEN, 0.0),
        turn=TurnRecord("t1", "uid/4", "telegram", 1, 0.0, 60.0),
        failure=FailureRecord(2, "uid/3", "ImagePullFailed", 0.0, "secret"),
    )
    assert standing(busy) == (
        "run uid/4 is open; turn t1 is going on; 2 messages wait; failed 2 times: ImagePullFailed"
    )
