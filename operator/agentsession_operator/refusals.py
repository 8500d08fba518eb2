"""What the API server refused to make, and when to ask again."""

from __future__ import annotations

from http import HTTPStatus

from agentsession_core.api import Reason
from agentsession_operator.cluster_errors import RefusedError
from agentsession_operator.model import Key
from agentsession_operator.world import CreateClaim, Limits, Problem, Refusal


class Refusals:
    """Per session, with a delay that doubles. Lost with the process: then it is simply tried again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[Key, tuple[Refusal, int]] = {}

    def get(self, key: Key, now: float) -> Refusal | None:
        """The refusal that still holds at `now` (seconds since the epoch)."""
        refusal, _ = self._known.get(key, (None, 0))
        return refusal if refusal and now < refusal.until else None

    def add(self, key: Key, action: object, error: RefusedError, now: float) -> Refusal:
        """Remembers that an action was refused."""
        _, count = self._known.get(key, (None, 0))
        refusal = Refusal(_problem(action, error), now + self._limits.backoff(count + 1))
        self._known[key] = (refusal, count + 1)
        return refusal

    def forget(self, key: Key) -> None:
        """The session could start, or is gone."""
        self._known.pop(key, None)


def _problem(action: object, error: RefusedError) -> Problem:
    is_claim = isinstance(action, CreateClaim)
    what = "volume claim" if is_claim else "Job"
    reason = Reason.VOLUME_REFUSED if is_claim else Reason.POD_REFUSED
    if "exceeded quota" in error.message:
        reason = Reason.QUOTA_EXCEEDED
    elif is_claim and error.status == HTTPStatus.CONFLICT:
        return Problem(Reason.WORKSPACE_CONFLICT, error.message)
    return Problem(reason, f"the API server refused the {what}: {error.message}"[:900])
