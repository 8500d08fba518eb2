"""What the orchestrator lets whom do. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentsession_core.problems import ProblemError
from orchestrator_api.callers import Caller, Scope


class Approval(StrEnum):
    """When an agent's call waits for its person."""

    NEVER = "never"
    # With `approvals: All` in the installation or the session's template.
    STRICT = "strict"
    ALWAYS = "always"


@dataclass(frozen=True)
class Operation:
    """One thing that can be done: its name in the audit log, and what it takes.

    `runs` is false for what no agent may do, approved or not. `secret_body`: nothing of the request's
    body is kept anywhere but as a keyed fingerprint. `reads` is true for what changes nothing although it
    takes more than the right to read.
    """

    name: str
    scope: Scope
    approval: Approval = Approval.NEVER
    runs: bool = True
    secret_body: bool = False
    reads: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.scope is not Scope.READ and not self.reads


def scopes_held(caller: Caller) -> frozenset[Scope]:
    """The caller's scopes with those that they include."""
    if Scope.WRITE in caller.scopes:
        return caller.scopes | {Scope.READ}
    return caller.scopes


def require(caller: Caller, operation: Operation) -> None:
    """Raises ProblemError 403 unless the caller may do that at all."""
    if caller.is_run and not operation.runs:
        raise ProblemError(
            403,
            "not_for_runs",
            f"an agent may not do {operation.name}; the person does it with a token of their own",
        )
    if operation.scope not in scopes_held(caller):
        raise ProblemError(
            403,
            "scope_missing",
            f"{operation.name} needs a token with scope {operation.scope.value}",
        )


def require_user(caller: Caller, claimed: str | None) -> None:
    """Raises ProblemError 403 when a caller says that it is somebody else than its token says."""
    if claimed and claimed != caller.user:
        raise ProblemError(
            403,
            "user_mismatch",
            "the token belongs to another user than ORCHESTRATOR_USER_ID says; unset it or use "
            "that user's token",
        )


def waits_for_approval(caller: Caller, operation: Operation, *, strict: bool) -> bool:
    """Whether the call waits until the person has agreed. `strict`: the installation asks more often.

    The stricter of installation and template counts.
    """
    if not caller.is_run:
        return False
    more = strict or caller.asks_more
    wanted = (Approval.ALWAYS, Approval.STRICT) if more else (Approval.ALWAYS,)
    return operation.approval in wanted
