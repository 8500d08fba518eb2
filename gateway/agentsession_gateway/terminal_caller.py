"""Who speaks for a person at a terminal, and for which sessions. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentsession_core import naming
from agentsession_core.api import AgentSession, ConditionType, Reason
from agentsession_core.problems import ProblemError

_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True)
class TerminalCaller:
    """A token of ServiceAccount agentsession-cli.

    `credential` is the token's own id: the API server's audit log has it beside the person who asked
    for the token. Nothing else in a request says who that is.
    """

    namespace: str
    username: str
    credential: str


def terminal_of_review(status: Mapping[str, Any], namespaces: Collection[str]) -> TerminalCaller:
    """The caller that a TokenReview's status speaks of. Raises ProblemError 401 or 403."""
    if status.get("authenticated") is not True:
        raise ProblemError(
            401,
            "token_invalid",
            "the API server does not accept the token for audience "
            f"{naming.AUDIENCE_TERMINAL}; ask for a new one",
        )
    # An API server that knows no audiences answers none: such a token may be meant for anyone.
    if naming.AUDIENCE_TERMINAL not in (status.get("audiences") or ()):
        raise ProblemError(401, "audience_missing", "the token is not meant for terminals")
    user = status.get("user") or {}
    username, extra = str(user.get("username", "")), user.get("extra") or {}
    for namespace in namespaces:
        if username == f"system:serviceaccount:{namespace}:{naming.CLI_SERVICE_ACCOUNT}":
            break
    else:
        raise ProblemError(
            403,
            "not_a_terminal",
            f"the token is not one of ServiceAccount {naming.CLI_SERVICE_ACCOUNT} in a session "
            "namespace of this release",
        )
    if extra.get(_POD_NAME):
        raise ProblemError(
            403, "bound_to_a_pod", "a pod's own token does not speak for a person; use TokenRequest"
        )
    credentials = list(extra.get(_CREDENTIAL) or [])
    return TerminalCaller(namespace, username, str(credentials[0]) if credentials else "")


def require_mailbox(session: AgentSession) -> None:
    """Raises ProblemError 409 unless the operator says that the session holds its mailbox.

    Two sessions may name one mailbox; only the operator sees all namespaces and knows whose it is.
    """
    name = session.metadata.name
    if session.metadata.deletion_timestamp is not None:
        raise ProblemError(409, "session_terminating", f"session {name} is being deleted")
    if session.status.observed_generation is None:
        raise ProblemError(
            409,
            "session_not_seen",
            f"the operator has not looked at session {name} yet; try again in a moment",
            retry_after=1,
        )
    for condition in session.status.conditions or ():
        if condition.type is ConditionType.READY and condition.reason is Reason.MAILBOX_TAKEN:
            raise ProblemError(
                409,
                "mailbox_taken",
                f"another session has the mailbox {session.mailbox!r}, not {name}: "
                "kubectl agents why says more",
            )
