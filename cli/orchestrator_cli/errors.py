"""Errors as people and programs see them: code, message, hint, request id, and an exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes: a contract. `docs/orchestrator.md` lists them; a test holds it to this."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    TIMED_OUT = 7
    TASK_FAILED = 8
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "something went wrong that has no code of its own",
    Exit.USAGE: "the command line cannot be meant",
    Exit.NOT_FOUND: "there is no such thing of yours",
    Exit.NOT_ALLOWED: "no token, one that may not do this, or a person must agree first",
    Exit.CONFLICT: "it conflicts with what is there",
    Exit.UNAVAILABLE: "the API cannot be reached or cannot do it now; try again",
    Exit.TIMED_OUT: "it did not happen within --timeout",
    Exit.TASK_FAILED: "the task that was waited for did not succeed",
    Exit.INTERRUPTED: "ended by ctrl-c, or by a no to the command's question",
}
_BY_STATUS = {
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.UNAVAILABLE,
    502: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}
RETRYABLE = frozenset({Exit.UNAVAILABLE, Exit.TIMED_OUT})


class CommandError(Exception):
    """Something cannot be done. `code` is stable; `details` are the problem's further members."""

    def __init__(
        self,
        exit_code: Exit,
        code: str,
        message: str,
        *,
        hint: str = "",
        request_id: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.hint = hint
        self.request_id = request_id
        self.details = details or {}

    @property
    def retry_after(self) -> float:
        """Seconds after which the API would take it; 0 where it has not said so."""
        said = self.details.get("retry_after")
        return float(said) if isinstance(said, int) else 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that programs read."""
        return {
            "ok": False,
            "error": {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "retryable": self.exit_code in RETRYABLE,
                "request_id": self.request_id,
                "exit_code": int(self.exit_code),
                **self.details,
            },
        }


_HINTS = {
    "token_invalid": "orchestrator doctor says which token is used and from where",
    "token_expired": "make a new one: orchestrator token create",
    "token_revoked": "make a new one: orchestrator token create",
    "user_mismatch": "orchestrator config show says where ORCHESTRATOR_USER_ID comes from",
    "project_not_found": "orchestrator project list shows what there is",
    "approval_required": "tell the person what you want to do and why; then run the same command again",
    "project_exists": "orchestrator project get says what it is",
    "task_not_found": "orchestrator task list shows what there is",
    "deployment_not_found": "orchestrator deploy check says what is missing for one",
    "deployment_running": "orchestrator task status says how it goes, orchestrator task cancel ends it",
    "not_deployable": "orchestrator deploy check says it again, when it is mended",
    "secret_not_found": "orchestrator secret list shows what there is",
    "server_not_found": "orchestrator infra servers shows what there is",
    "allocation_not_found": "orchestrator infra allocations shows what there is",
    "port_taken": "orchestrator infra allocate takes a free one",
    "incident_not_found": "orchestrator diagnose incidents shows what there is",
    "approval_not_found": "orchestrator approvals list shows what there is",
    "token_not_found": "orchestrator token list shows what there is",
    "approval_denied": "do not try again; ask the person what to do instead",
    "version_conflict": "read it again, then decide",
    "service_ambiguous": "say which with --project",
    "service_not_found": "orchestrator infra allocations shows your services",
    "too_many_responses": "say the rest in your turn's answer",
    "rate_limited": "wait that long, then ask for less at once: one --follow instead of many looks",
    "only_for_runs": "people write to the session: kubectl agents chat, or the session's chat",
    "no_such_route": "the API is of another release than this command",
    "scope_missing": "orchestrator doctor says what yours may do; who may do more can make you another",
}
_MEMBERS = frozenset({"type", "title", "status", "code", "detail", "request_id"})


def refusal(status: int, problem: object, request_id: str) -> CommandError:
    """The error that an answer of the API is."""
    exit_code = _BY_STATUS.get(status, Exit.FAILED)
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return CommandError(
            exit_code,
            "not_the_api",
            f"something that is not the orchestrator's API answered with status {status}",
            hint="orchestrator doctor says which URL is used and from where",
            request_id=request_id,
        )
    return CommandError(
        exit_code,
        problem["code"],
        str(problem.get("detail", "")),
        hint=_HINTS.get(problem["code"], ""),
        request_id=str(problem.get("request_id", request_id)),
        details={key: value for key, value in problem.items() if key not in _MEMBERS},
    )
