"""What a failed turn says about the next one: a reason, the cause, and what to do about it. Pure.

Whose words: the gateway saw how the model API answered; what the runner says is used only where the
gateway knows nothing, since the agent could have said it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agentsession_core.api import Reason, TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_operator.world import Problem

DETAIL_CHARACTERS: Final = 600
# The gateway's own refusals: no key would change them.
_REFUSED_BY_GATEWAY: Final = frozenset({"model_not_allowed", "network_none"})
# Where a person must do something to the volume first.
_BY_RUNNERS_CODE: Final = {
    "workspace_full": Reason.WORKSPACE_FULL,
    "workspace_read_only": Reason.WORKSPACE_READ_ONLY,
}
_PROMPT_TOO_LONG: Final = "prompt_too_long"
_BILLING: Final = "billing_error"
_AGAIN: Final = "send the message again"


def turn_problem(last: LastTurnRecord) -> Problem | None:
    """The problem that the last turn leaves; None after one that went well or was cancelled."""
    if last.outcome is TurnOutcome.MODEL_ERROR:
        return _model_problem(last)
    if last.outcome is TurnOutcome.TIMED_OUT:
        return Problem(
            Reason.TURN_TIMED_OUT,
            "the last turn was over run.turnTimeoutSeconds; raise it, or ask for less at once",
        )
    if last.outcome is TurnOutcome.DEAD_LETTERED:
        return Problem(Reason.DEAD_LETTERED, f"a message was given up: {last.error_message}")
    if last.outcome is TurnOutcome.FAILED:
        reason = _BY_RUNNERS_CODE.get(last.error_code, Reason.TURN_FAILED)
        return Problem(reason, f"the last turn failed: {_said_by_runner(last)}")
    return None


def _model_problem(last: LastTurnRecord) -> Problem:
    status = last.model_status
    if status is None:
        return Problem(
            Reason.MODEL_UNAVAILABLE,
            "the agent could not reach the model API, and the gateway saw no call fail: "
            f"{_said_by_runner(last)}; {_AGAIN}",
        )
    if last.model_code in _REFUSED_BY_GATEWAY:
        return Problem(Reason.MODEL_REFUSED, f"the gateway refused the call: {last.model_detail}")
    if last.model_code == _PROMPT_TOO_LONG:
        return _too_long(last)
    if last.model_code == _BILLING:
        return _billing(last)
    return _BY_STATUS.get(status, _refused if 400 <= status < 500 else _unavailable)(last)


def _authentication(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_AUTHENTICATION_FAILED,
        f"the model API refused the key ({_answer(last)}); set a valid one in "
        "gateway.models.anthropic, or in the Secret that the template's credentials name, and "
        f"{_AGAIN}",
    )


def _billing(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_BILLING_FAILED,
        f"the model API wants a payment ({_answer(last)}); pay for the account of the model key, "
        f"then {_AGAIN}",
    )


def _not_found(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_NOT_FOUND,
        f"the model API does not know the model ({_answer(last)}); set another in "
        "spec.agent.model of the session or its template, or mend gateway.models.anthropic.baseURL",
    )


def _too_long(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.CONVERSATION_TOO_LONG,
        f"the conversation is too long for the model ({_answer(last)}); begin a new one in a new "
        "session, or set a model with a larger context in spec.agent.model",
    )


def _rate_limited(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_RATE_LIMITED,
        f"the model API takes no more calls for now ({_answer(last)}); {_AGAIN} later, or raise "
        "the limits of the model key's account",
    )


def _refused(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_REFUSED,
        f"the model API refused the request ({_answer(last)}); change what the message asks for, or "
        "begin a new conversation in a new session",
    )


def _unavailable(last: LastTurnRecord) -> Problem:
    return Problem(
        Reason.MODEL_UNAVAILABLE, f"the model API failed ({_answer(last)}); {_AGAIN} later"
    )


_BY_STATUS: Final[dict[int, Callable[[LastTurnRecord], Problem]]] = {
    401: _authentication,
    402: _billing,
    403: _authentication,
    404: _not_found,
    413: _too_long,
    429: _rate_limited,
}


def _answer(last: LastTurnRecord) -> str:
    detail = f": {last.model_detail}" if last.model_detail else ""
    return f"HTTP {last.model_status}{detail}"


def _said_by_runner(last: LastTurnRecord) -> str:
    return (last.error_message or last.error_code)[:DETAIL_CHARACTERS]
