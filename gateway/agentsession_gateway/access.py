"""Every route's first step: who calls, and may this pod speak for its run now?"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from agentsession_core.caller import bearer_token
from agentsession_core.identity import Recognised
from agentsession_core.mailbox.model import RunAnswer, RunCheck
from agentsession_core.problems import ProblemError, service_unavailable
from agentsession_gateway.deps import Deps

TURN_GRACE_SECONDS: Final = 60.0


async def recognise(
    deps: Deps, request: Request, *, fresh: bool = False, api_key_allowed: bool = False
) -> Recognised:
    """The caller. Raises ProblemError 401, 403 or 503."""
    token = bearer_token(request.headers, api_key_allowed=api_key_allowed)
    address = request.client.host if request.client else ""
    return await deps.identity.recognise(token, address=address, fresh=fresh)


async def check(deps: Deps, recognised: Recognised) -> RunCheck:
    """The run's standing, whatever it is."""
    caller = recognised.caller
    return await deps.store.check_run(
        caller.mailbox,
        run=caller.run,
        pod_uid=caller.pod_uid,
        grace_seconds=TURN_GRACE_SECONDS,
    )


def require_current(answer: RunAnswer) -> None:
    """Raises ProblemError 403 unless the answer speaks of the current run and its own pod, 503
    while nobody knows."""
    if answer is RunAnswer.LOST:
        raise state_lost()
    if answer is RunAnswer.STALE:
        raise ProblemError(403, "stale_run", "the run is no longer the session's current one; exit")
    if answer is RunAnswer.OTHER_POD:
        raise ProblemError(
            403, "other_pod", "another pod speaks for this run, or hello was not said"
        )


def state_lost() -> ProblemError:
    """Redis was emptied: a refusal now would end runs that the operator is about to bring back."""
    return service_unavailable(
        "state_lost", "Redis has forgotten its runs; the operator brings them back, try again"
    )
