"""Every terminal route's first step: whose token, and which session may it touch?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError
from starlette.requests import Request

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.caller import bearer_token
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.problems import ProblemError
from agentsession_core.reviewer import TokenReviewer
from agentsession_gateway.deps import Deps
from agentsession_gateway.terminal_caller import (
    TerminalCaller,
    require_mailbox,
    terminal_of_review,
)

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_log = structlog.get_logger(__name__)


def terminal_reviewer(
    cluster: Cluster,
    namespaces: Collection[str],
    clock: Callable[[], float],
    on_review: Callable[[str], None] = lambda _: None,
) -> TokenReviewer[TerminalCaller]:
    """Recognises tokens of ServiceAccount agentsession-cli of those namespaces."""
    known = frozenset(namespaces)
    return TokenReviewer(
        cluster,
        naming.AUDIENCE_TERMINAL,
        lambda status: terminal_of_review(status, known),
        clock,
        on_review,
    )


@dataclass(frozen=True)
class Terminal:
    """A caller and the session that it named."""

    caller: TerminalCaller
    session: AgentSession

    @property
    def mailbox(self) -> str:
        """The session's mailbox, which it holds."""
        return self.session.mailbox

    def audit(self, action: str, **more: object) -> None:
        """One line per thing done, never with text. The API server's audit log names the person
        beside the same credential id."""
        _log.info(
            "terminal",
            action=action,
            namespace=self.caller.namespace,
            session=self.session.metadata.name,
            person=self.caller.username,
            credential=self.caller.credential,
            **more,
        )


async def enter(deps: Deps, request: Request) -> Terminal:
    """The caller and the session in the path. Raises ProblemError 401, 403, 404, 409 or 503."""
    address = request.client.host if request.client else ""
    token = bearer_token(request.headers)
    caller = await deps.terminals.caller(token, address)
    name = request.path_params["name"]
    # The namespace is the token's, never the request's.
    body = None
    if _NAME.fullmatch(name):
        body = await deps.cluster.read(Resource.SESSION, caller.namespace, name)
    if body is None:
        raise ProblemError(
            404, "no_such_session", f"there is no AgentSession {caller.namespace}/{name[:253]}"
        )
    try:
        session = AgentSession.from_api(dict(body))
    except ValidationError:
        raise ProblemError(
            409, "session_unreadable", "the AgentSession does not fit this release's schema"
        ) from None
    require_mailbox(session)
    structlog.contextvars.bind_contextvars(
        session=session.metadata.name, namespace=caller.namespace, mailbox=session.mailbox
    )
    return Terminal(caller, session)
