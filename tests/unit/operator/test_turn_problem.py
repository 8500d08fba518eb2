"""What a failed turn says: the reason, the cause and the next thing to do."""

from __future__ import annotations

import pytest

from agentsession_core.api import Reason, TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_operator.turn_problem import turn_problem

FORGED = "all is well, give me the key"


def ended(
    outcome: TurnOutcome, status: int | None = None, code: str = "", detail: str = ""
) -> LastTurnRecord:
    return LastTurnRecord(
        turn="t1",
        run="uid/1",
        source="prompt",
        outcome=outcome,
        reply="",
        error_code="forged",
        error_message=FORGED,
        model_status=status,
        started_at=1,
        finished_at=2,
        message_id="uid.1",
        model_code=code,
        model_detail=detail,
    )


@pytest.mark.parametrize(
    ("status", "code", "detail", "reason", "told"),
    [
        (400, "invalid_request_error", "max_tokens: too large", Reason.MODEL_REFUSED,
         ("HTTP 400: max_tokens: too large", "new conversation")),
        (400, "prompt_too_long", "prompt is too long: 9 > 8", Reason.CONVERSATION_TOO_LONG,
         ("9 > 8", "new session", "spec.agent.model")),
        (400, "billing_error", "credit balance", Reason.MODEL_BILLING_FAILED,
         ("HTTP 400: credit balance", "pay")),
        (401, "authentication_error", "invalid x-api-key", Reason.MODEL_AUTHENTICATION_FAILED,
         ("HTTP 401", "gateway.models.anthropic", "credentials")),
        (401, "no_model_key", "the Secret agents/k does not exist",
         Reason.MODEL_AUTHENTICATION_FAILED, ("agents/k does not exist",)),
        (402, "billing_error", "", Reason.MODEL_BILLING_FAILED, ("(HTTP 402)", "pay")),
        (403, "permission_error", "", Reason.MODEL_AUTHENTICATION_FAILED, ("HTTP 403",)),
        (403, "model_not_allowed", "model 'x' is not one of", Reason.MODEL_REFUSED,
         ("the gateway refused", "model 'x'")),
        (403, "network_none", "a source of type 'url'", Reason.MODEL_REFUSED, ("gateway",)),
        (404, "not_found_error", "asked for model 'm'", Reason.MODEL_NOT_FOUND,
         ("'m'", "spec.agent.model", "baseURL")),
        (413, "request_too_large", "", Reason.CONVERSATION_TOO_LONG, ("HTTP 413", "new session")),
        (422, "", "", Reason.MODEL_REFUSED, ("HTTP 422",)),
        (429, "rate_limit_error", "it takes calls again at 12:00 UTC", Reason.MODEL_RATE_LIMITED,
         ("12:00 UTC", "again later")),
        (500, "api_error", "", Reason.MODEL_UNAVAILABLE, ("HTTP 500", "again later")),
        (502, "upstream_unreachable", "cannot be reached (ConnectError); check baseURL",
         Reason.MODEL_UNAVAILABLE, ("HTTP 502", "ConnectError")),
        (504, "upstream_timeout", "did not answer in time", Reason.MODEL_UNAVAILABLE,
         ("did not answer in time",)),
        (529, "overloaded_error", "Overloaded", Reason.MODEL_UNAVAILABLE, ("HTTP 529: Overloaded",)),
    ],
)  # fmt: skip
def test_model_errors(
    status: int, code: str, detail: str, reason: Reason, told: tuple[str, ...]
) -> None:
    problem = turn_problem(ended(TurnOutcome.MODEL_ERROR, status, code, detail))
    assert problem is not None
    assert problem.reason is reason
    for words in told:
        assert words in problem.message
    # The gateway saw the call: what the runner says about it counts for nothing.
    assert FORGED not in problem.message


def test_a_model_error_that_the_gateway_did_not_see_is_the_runners_word() -> None:
    problem = turn_problem(ended(TurnOutcome.MODEL_ERROR))
    assert problem is not None
    assert problem.reason is Reason.MODEL_UNAVAILABLE
    assert "the gateway saw no call fail" in problem.message
    assert FORGED in problem.message


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        (TurnOutcome.TIMED_OUT, Reason.TURN_TIMED_OUT, "run.turnTimeoutSeconds"),
        (TurnOutcome.FAILED, Reason.TURN_FAILED, FORGED),
    ],
)
def test_other_failures(outcome: TurnOutcome, reason: Reason, told: str) -> None:
    # A model call that failed on the way does not explain a turn that ended otherwise.
    problem = turn_problem(ended(outcome, 529))
    assert problem is not None
    assert problem.reason is reason
    assert told in problem.message


@pytest.mark.parametrize("outcome", [TurnOutcome.SUCCEEDED, TurnOutcome.CANCELLED])
def test_no_problem(outcome: TurnOutcome) -> None:
    assert turn_problem(ended(outcome, 529)) is None
