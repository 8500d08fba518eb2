"""How a session stands, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_bridge import texts
from agentsession_bridge.session_index import HeldMailbox
from agentsession_bridge.standing import status_text, usage_text, why_it_waits
from agentsession_core.mailbox.model import MailboxState, TurnRecord, UsageRecord

HELD = HeldMailbox("agents", "telegram-7", "uid", "7", "2026-01-01T00:00:00Z", "Idle")
STATE = replace(MailboxState.unused(None, 1000.0), session_uid="uid", conversation=2)
TURN = TurnRecord("t", "uid/1", "telegram", 1, 925.0, 2000.0)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (None, texts.WAKING),
        (replace(HELD, phase=""), texts.WAKING),
        (replace(HELD, phase="Suspended"), texts.WAKING),
        (replace(HELD, phase="Starting"), texts.WAKING),
        (HELD, ""),
        (replace(HELD, phase="Working"), ""),
        (replace(HELD, phase="Queued", queue_position=4), texts.queued(4)),
        (replace(HELD, phase="Failed", problem="no image"), texts.not_starting("no image")),
    ],
)
def test_what_is_in_a_messages_way(held: HeldMailbox | None, words: str) -> None:
    assert why_it_waits(held) == words


def test_status_says_what_the_agent_does_and_what_comes() -> None:
    assert status_text(None, STATE, None) == texts.NO_AGENT
    working = replace(STATE, turn=TURN, waiting=3)
    expiring = replace(HELD, expires_at="2026-01-02T03:04:05Z")
    told = status_text(expiring, working, None)
    assert "works since 1 min 15 s" in told
    assert "wait: 2" in told
    assert "2026-01-02 03:04:05 UTC" in told
    assert "number 3" in status_text(replace(HELD, phase="Queued"), STATE, 3)
    assert "sleeps" in status_text(replace(HELD, phase="Suspended"), STATE, None)
    cut = replace(working, turn=replace(TURN, cut_run="uid/1"))
    assert "works since" not in status_text(replace(HELD, phase="Starting"), cut, None)


def test_usage_says_what_is_known_and_no_more() -> None:
    used = replace(STATE, usage=UsageRecord(3, 12_345, 67, 1_500_000_000))
    assert usage_text(used, {}) == "This agent: 3 turns, 12,345 tokens in, 67 out, $1.50."
    today = {"input_tokens": 10, "output_tokens": 5, "cost_nanousd": 20_000_000}
    assert usage_text(used, today).endswith("Today: 10 tokens in, 5 out, $0.02.")
    assert usage_text(used, {**today, "unpriced": 1}).endswith("Today: 10 tokens in, 5 out.")
