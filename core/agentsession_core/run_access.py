"""May this pod speak for its run now? What Redis answered, as a service tells its caller."""

from __future__ import annotations

from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.problems import ProblemError, service_unavailable


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
