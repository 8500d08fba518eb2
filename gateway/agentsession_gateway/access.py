"""Every route's first step: who calls, and may this pod speak for its run now?"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request

from agentsession_core.caller import bearer_token
from agentsession_core.identity import Recognised
from agentsession_core.mailbox.answers import RunCheck
from agentsession_gateway.deps import Deps

TURN_GRACE_SECONDS: Final = 60.0


async def recognise(
    deps: Deps, request: Request, *, fresh: bool = False, api_key_allowed: bool = False
) -> Recognised:
    """The caller. Raises ProblemError 401, 403 or 503."""
    token = bearer_token(request.headers, api_key_allowed=api_key_allowed)
    address = request.client.host if request.client else ""
    recognised = await deps.identity.recognise(token, address=address, fresh=fresh)
    caller = recognised.caller
    # In every line of this request, whoever writes it.
    structlog.contextvars.bind_contextvars(
        session=caller.session, namespace=caller.namespace, mailbox=caller.mailbox, run=caller.run
    )
    return recognised


async def check(deps: Deps, recognised: Recognised) -> RunCheck:
    """The run's standing, whatever it is."""
    caller = recognised.caller
    return await deps.store.check_run(
        caller.mailbox,
        run=caller.run,
        pod_uid=caller.pod_uid,
        grace_seconds=TURN_GRACE_SECONDS,
    )
