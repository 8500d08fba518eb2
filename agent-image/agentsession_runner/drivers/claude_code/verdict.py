"""What a Claude Code result means. Pure.

Neither `subtype` (`success` with `is_error: true` for every failure of the model's API) nor the
exit code (0 with nothing printed) says it alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentsession_runner.drivers.base import AgentResult, Verdict
from agentsession_runner.reports import Problem

STDERR_EXCERPT = 1500
MODEL_REASONS = frozenset({"api_error", "connection", "prompt_too_long", "model_error"})
# The CLI's words for a session that it cannot go on with; a new one can.
UNUSABLE_SESSION = re.compile(
    r"No conversation found with session ID|Session ID \S+ is already in use"
)

FAILURES: Mapping[str, tuple[str, str]] = {
    "error_max_turns": ("max_turns", "the agent reached its limit of steps for one turn"),
    "error_max_budget_usd": ("max_budget", "the agent reached its budget for one turn"),
    "error_during_execution": ("agent_error", "the agent stopped in the middle of its work"),
}
STATUS_TEXTS: Mapping[int, str] = {
    400: "the model's API refused the request",
    401: "the model's API refused the credentials: check the model key in the gateway's settings",
    402: "the model's API wants a payment: check the account of the model key",
    403: "the model's API refused this call",
    404: "the model's API does not know the model or the path",
    413: "the conversation is too large for the model's API",
    429: "the model's API refused more calls for now (rate limit)",
    529: "the model's API is overloaded",
}


def judge(result: AgentResult) -> Verdict:
    """Decide what a result means."""
    record = result.structured_output
    if record is None:
        return _without_record(result)
    if UNUSABLE_SESSION.search(" ".join(_errors(record))):
        return _failed(result, "conversation_lost", _details(record), conversation_lost=True)
    if not record["is_error"]:
        answer = record.get("result")
        return Verdict("Succeeded", answer if isinstance(answer, str) and answer else result.stdout)
    if record.get("api_error_status") is not None or record.get("terminal_reason") in MODEL_REASONS:
        return _model_error(result, record)
    code, meaning = FAILURES.get(record["subtype"], ("agent_error", "the agent reported an error"))
    return _failed(result, code, _sentence(meaning, _details(record)))


def _without_record(result: AgentResult) -> Verdict:
    if UNUSABLE_SESSION.search(result.stderr):
        return _failed(result, "conversation_lost", result.stderr, conversation_lost=True)
    excerpt = result.stderr[-STDERR_EXCERPT:].strip()
    if result.exit_code is None:
        return _failed(
            result, "no_result", _sentence("the agent's final record could not be read", excerpt)
        )
    meaning = f"the agent's process ended with exit code {result.exit_code} before its answer"
    return _failed(result, "agent_exited", _sentence(meaning, excerpt))


def _model_error(result: AgentResult, record: Mapping[str, Any]) -> Verdict:
    status = record.get("api_error_status")
    if record.get("terminal_reason") == "prompt_too_long":
        # Before the status, which is only 400: sending the message again would not help.
        code, meaning = "model_error_prompt_too_long", "the conversation is too long for the model"
    elif isinstance(status, int):
        code = f"model_error_{status}"
        meaning = STATUS_TEXTS.get(status, f"the model's API answered with status {status}")
    else:
        code, meaning = "model_error_connection", "the model's API could not be reached"
    problem = Problem(code, _sentence(meaning, _details(record)))
    return Verdict("ModelError", result.stdout, problem)


def _failed(
    result: AgentResult, code: str, message: str, *, conversation_lost: bool = False
) -> Verdict:
    return Verdict("Failed", result.stdout, Problem(code, message), conversation_lost)


def _details(record: Mapping[str, Any]) -> str:
    text = record.get("result")
    if isinstance(text, str) and text.strip():
        return text.strip()
    return "; ".join(_errors(record))


def _errors(record: Mapping[str, Any]) -> list[str]:
    errors = record.get("errors")
    return [str(error) for error in errors] if isinstance(errors, list) else []


def _sentence(meaning: str, details: str) -> str:
    return f"{meaning} ({details})" if details else meaning
