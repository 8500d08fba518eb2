"""Whose token a terminal's is, and whether the session holds its mailbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.problems import ProblemError
from agentsession_gateway.terminal_caller import (
    TerminalCaller,
    require_mailbox,
    terminal_of_review,
)

NAMESPACES = ("agents", "more-agents")
NAME = "system:serviceaccount:agents:agentsession-cli"


def review(**changes: Any) -> dict[str, Any]:
    user = {
        "username": NAME,
        "extra": {"authentication.kubernetes.io/credential-id": ["JTI=4711"]},
    }
    return {
        "authenticated": True,
        "audiences": [naming.AUDIENCE_TERMINAL],
        "user": user,
        **changes,
    }


def test_the_namespace_and_the_credential_come_from_the_review() -> None:
    caller = terminal_of_review(review(), NAMESPACES)
    assert caller == TerminalCaller("agents", NAME, "JTI=4711")


def test_an_api_server_that_names_no_credential() -> None:
    assert terminal_of_review(review(user={"username": NAME}), NAMESPACES).credential == ""


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"authenticated": False}, 401, "token_invalid"),
        ({"authenticated": "true"}, 401, "token_invalid"),
        ({"audiences": []}, 401, "audience_missing"),
        ({"audiences": [naming.AUDIENCE_GATEWAY]}, 401, "audience_missing"),
        ({"user": {}}, 403, "not_a_terminal"),
        ({"user": {"username": "admin"}}, 403, "not_a_terminal"),
        ({"user": {"username": f"{NAME}-2"}}, 403, "not_a_terminal"),
        ({"user": {"username": NAME.replace("cli", "runner")}}, 403, "not_a_terminal"),
        ({"user": {"username": NAME.replace(":agents:", ":kube-system:")}}, 403, "not_a_terminal"),
        (
            {
                "user": {
                    "username": NAME,
                    "extra": {"authentication.kubernetes.io/pod-name": ["evil"]},
                }
            },
            403,
            "bound_to_a_pod",
        ),
    ],
    ids=str,
)
def test_anything_else_is_refused(changes: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        terminal_of_review(review(**changes), NAMESPACES)
    assert (refused.value.status, refused.value.code) == (status, code)


def session(metadata: dict[str, Any] | None = None, **status: Any) -> AgentSession:
    return AgentSession.from_api(
        {
            "metadata": {"name": "ada", "namespace": "agents", "uid": "u", **(metadata or {})},
            "spec": {"user": {"id": "42"}},
            "status": status,
        }
    )


def ready(reason: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "Ready",
            "status": "False",
            "reason": reason,
            "message": "",
            "lastTransitionTime": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        }
    ]


def test_a_session_that_the_operator_has_seen() -> None:
    require_mailbox(session(observedGeneration=1, conditions=ready("NothingToDo")))


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (session(), "session_not_seen"),
        (session(observedGeneration=1, conditions=ready("MailboxTaken")), "mailbox_taken"),
        (
            session({"deletionTimestamp": "2026-01-01T00:00:00Z"}, observedGeneration=1),
            "session_terminating",
        ),
    ],
)
def test_one_whose_mailbox_may_be_anothers(seen: AgentSession, code: str) -> None:
    with pytest.raises(ProblemError) as refused:
        require_mailbox(seen)
    assert (refused.value.status, refused.value.code) == (409, code)
