"""What a failed turn says about the next: the runner's code chooses the condition's reason."""

from __future__ import annotations

import pytest

from agentsession_core.api.values import Reason, TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_operator.turn_problem import turn_problem


def failed(code: str) -> LastTurnRecord:
    return LastTurnRecord(
        turn="t",
        run="uid/1",
        source="prompt",
        outcome=TurnOutcome.FAILED,
        reply="",
        error_code=code,
        error_message="what happened and what to do",
        model_status=None,
        started_at=0.0,
        finished_at=1.0,
        message_id="m",
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("workspace_full", Reason.WORKSPACE_FULL),
        ("workspace_read_only", Reason.WORKSPACE_READ_ONLY),
        ("workspace_unusable", Reason.TURN_FAILED),
        ("agent_exited", Reason.TURN_FAILED),
        ("", Reason.TURN_FAILED),
    ],
)
def test_reasons(code: str, reason: Reason) -> None:
    problem = turn_problem(failed(code))
    assert problem is not None
    assert problem.reason is reason
    assert "what happened and what to do" in problem.message
