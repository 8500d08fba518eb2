"""What is put into a Redis that knows less than the API server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentsession_core.mailbox.model import UsageRecord, later_entry
from agentsession_operator.model import Children
from agentsession_operator.recovery import LOST_PROMPT, is_heir, lost_message, rebuild_of
from agentsession_testing.operator_worlds import (
    EMPTY,
    NOW,
    UID,
    make_claim,
    make_job,
    make_pod,
    make_run,
    make_session,
)

GONE = replace(EMPTY, session_uid=None, last_activity=None)
LIVE = Children(jobs=(make_job(3, created_at=NOW - 60),), pods=(make_pod(3),), claim=make_claim())
STATUS = {
    "runs": 3,
    "agentSessionID": "conversation-1",
    "lastActivityTime": "2027-01-15T07:00:00Z",
    "lastHandledMessageID": "m5",
    "lastHandledEntryID": "500-0",
    "promptHash": "a" * 64,
    "launchType": "warm",
    "usage": {"turns": 4, "inputTokens": 10, "outputTokens": 20, "costUSD": "0.001500"},
}


class TestRebuild:
    def test_an_ordinary_mailbox_is_left_alone(self) -> None:
        session = make_session(status={**STATUS, "runs": 3})
        record = make_run(3)
        state = replace(EMPTY, run=record, handled="500-0")
        assert rebuild_of(session, state, LIVE) is None
        # Redis is ahead of status as a rule.
        ahead = replace(state, handled="700-2", run=make_run(4))
        assert rebuild_of(session, ahead, LIVE) is None

    def test_a_session_that_never_ran_is_not_rebuilt(self) -> None:
        assert rebuild_of(make_session(), GONE, Children()) is None

    def test_an_emptied_redis_and_a_live_run(self) -> None:
        rebuild = rebuild_of(make_session(status=STATUS), GONE, LIVE)
        assert rebuild is not None
        assert rebuild.agent_session_id == "conversation-1"
        assert rebuild.handled == "500-0"
        assert rebuild.expected == ""
        assert rebuild.usage == UsageRecord(4, 10, 20, 1_500_000)
        assert rebuild.live is not None
        assert (rebuild.live.run, rebuild.live.pod_uid, rebuild.live.begun_at) == (
            f"{UID}/3",
            "pod-3",
            NOW - 60,
        )

    @pytest.mark.parametrize(
        "children",
        [
            Children(jobs=(make_job(3, complete=True),), pods=(make_pod(3),)),
            Children(jobs=(make_job(3, deleting=True),), pods=(make_pod(3),)),
            Children(jobs=(make_job(3),), pods=(make_pod(3, phase="Failed"),)),
            Children(jobs=(make_job(3, session_uid="another"),), pods=(make_pod(3),)),
            Children(claim=make_claim()),
        ],
    )
    def test_without_a_live_run_there_is_no_record_of_one(self, children: Children) -> None:
        rebuild = rebuild_of(make_session(status=STATUS), GONE, children)
        assert rebuild is not None
        assert rebuild.live is None

    def test_an_older_file_lacks_the_run(self) -> None:
        state = replace(EMPTY, run=make_run(2), handled="500-0")
        rebuild = rebuild_of(make_session(status=STATUS), state, LIVE)
        assert rebuild is not None
        assert rebuild.live is not None
        assert (rebuild.live.run, rebuild.expected) == (f"{UID}/3", f"{UID}/2")
        assert rebuild.lost_message is None

    def test_an_older_file_lacks_answers(self) -> None:
        session = make_session(status=STATUS)
        rebuild = rebuild_of(session, replace(EMPTY, handled="499-7"), Children())
        assert rebuild is not None
        assert rebuild.handled == "500-0"
        assert rebuild_of(session, replace(EMPTY, handled="500-0"), Children()) is None


class TestLostMessage:
    def lost(self, phase: str = "Idle", **changes: Any) -> str | None:
        spec = {key: changes.pop(key) for key in ("inbox", "prompt") if key in changes}
        turn = {
            "source": "telegram",
            "outcome": "Succeeded",
            "startedAt": "2027-01-15T07:00:00Z",
        }
        status = {**STATUS, "phase": phase, "lastTurn": turn, **changes}
        return lost_message(make_session(status=status, **spec))

    def inbox(self, message: str, at: str) -> dict[str, str]:
        return {"lastMessageID": message, "lastMessageTime": f"2027-01-15T{at}Z"}

    def test_the_inbox_was_answered(self) -> None:
        assert self.lost(inbox=self.inbox("m5", "06:59:59")) is None

    def test_the_inbox_is_newer_than_the_newest_answer(self) -> None:
        assert self.lost(inbox=self.inbox("m6", "07:00:05")) == "m6"

    def test_the_inbox_is_written_late_while_a_run_is_open(self) -> None:
        assert self.lost(inbox=self.inbox("m3", "06:59:00")) is None
        assert self.lost("Working", inbox=self.inbox("m6", "06:59:59")) == "m6"

    def test_a_session_that_never_answered(self) -> None:
        inbox = self.inbox("m1", "07:00:00")
        found = self.lost("Starting", lastHandledMessageID=None, lastTurn=None, inbox=inbox)
        assert found == "m1"

    def test_a_prompt_in_the_works(self) -> None:
        assert self.lost("Working", prompt="hello") == LOST_PROMPT
        assert self.lost("Idle", prompt="hello") is None
        assert self.lost("Working", prompt="hello", lastHandledMessageID=None) is None


class TestHeir:
    def test_a_restored_session_goes_on(self) -> None:
        assert is_heir(make_session(), replace(EMPTY, session_uid="before", user="42"))
        assert is_heir(make_session(), replace(EMPTY, session_uid="before"))

    @pytest.mark.parametrize("change", [{"user": "43"}, {"closed": True}, {"reopened": True}])
    def test_nobody_else(self, change: dict[str, Any]) -> None:
        assert not is_heir(make_session(), replace(EMPTY, session_uid="before", **change))


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [
        (None, None, None),
        ("1-0", None, "1-0"),
        ("9-5", "10-0", "10-0"),
        ("10-2", "10-10", "10-10"),
        ("garbage", "1-0", "1-0"),
    ],
)
def test_places_in_a_stream(one: str | None, other: str | None, later: str | None) -> None:
    assert later_entry(one, other) == later == later_entry(other, one)
