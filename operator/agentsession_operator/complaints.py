"""Why a start hangs, in the words of whoever stands in its way: Kubernetes' Events.

Neither a Job whose pod is refused nor a claim that nobody provisions says so in its status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agentsession_core.api import Reason
from agentsession_core.mailbox.model import RunRecord, RunState
from agentsession_operator.model import Body, Children, ClaimView, JobView, PodView
from agentsession_operator.world import Problem

POD_SECONDS: Final = 3.0
CLAIM_SECONDS: Final = 5.0
CONTAINER_SECONDS: Final = 10.0
_SHORTEST_WAIT: Final = 3.0
_LONGEST_WAIT: Final = 60.0


class Kind(StrEnum):
    """What an Event may be about."""

    JOB = "Job"
    CLAIM = "PersistentVolumeClaim"
    POD = "Pod"


# An Event of any other reason is part of an ordinary start.
_REASONS: Final[dict[Kind, dict[str, Reason]]] = {
    Kind.JOB: {"FailedCreate": Reason.POD_REFUSED},
    Kind.CLAIM: {
        "ProvisioningFailed": Reason.VOLUME_STUCK,
        "FailedBinding": Reason.VOLUME_STUCK,
        "ExternalProvisioning": Reason.VOLUME_STUCK,
    },
    Kind.POD: {
        "FailedMount": Reason.VOLUME_STUCK,
        "FailedAttachVolume": Reason.VOLUME_STUCK,
        "FailedMapVolume": Reason.VOLUME_STUCK,
        "FailedCreatePodSandBox": Reason.CONTAINER_CANNOT_START,
    },
}


@dataclass(frozen=True)
class Subject:
    """The object whose Events say what a start waits for."""

    kind: Kind
    name: str
    uid: str


def subject_of(
    record: RunRecord | None,
    job: JobView | None,
    pod: PodView | None,
    children: Children,
    now: float,
) -> Subject | None:
    """Whom to ask about a run that has not said hello; None while it is too early to ask."""
    if record is None or job is None or not _is_starting(record, job):
        return None
    waited = now - record.begun_at
    if pod is None:
        return Subject(Kind.JOB, job.name, job.uid) if waited >= POD_SECONDS else None
    claim = children.claim
    if claim is not None and claim.phase == "Pending" and waited >= CLAIM_SECONDS:
        return _of_claim(claim)
    if pod.node and not pod.started and not pod.is_waiting_on_image and waited >= CONTAINER_SECONDS:
        return Subject(Kind.POD, pod.name, pod.uid)
    return None


def _is_starting(record: RunRecord, job: JobView) -> bool:
    return (
        record.state is RunState.OPEN
        and record.hello_at is None
        and not job.deleting
        and not job.finished
    )


def _of_claim(claim: ClaimView) -> Subject:
    return Subject(Kind.CLAIM, claim.name, claim.uid)


def complaint_of(subject: Subject, events: Iterable[Body]) -> Problem | None:
    """The newest complaint about the subject."""
    known = _REASONS[subject.kind]
    complaints = [event for event in events if event.get("reason") in known]
    if not complaints:
        return None
    newest = max(complaints, key=_when)
    text = str(newest.get("message", ""))
    reason = _sharpen(known[newest["reason"]], text)
    return Problem(reason, f"{subject.kind} {subject.name}: {text}"[:1000])


def _when(event: Body) -> str:
    series = event.get("series") or {}
    moments = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
    )
    return next((moment for moment in moments if moment), "")


def _sharpen(reason: Reason, text: str) -> Reason:
    if "exceeded quota" in text:
        return Reason.QUOTA_EXCEEDED
    if reason is Reason.VOLUME_STUCK and "storageclass" in text and "not found" in text:
        return Reason.STORAGE_CLASS_NOT_FOUND
    return reason


def next_question(record: RunRecord, now: float) -> float:
    """When to look again at a run that has not said hello: ever more seldom."""
    waited = now - record.begun_at
    return now + min(_LONGEST_WAIT, max(_SHORTEST_WAIT, waited / 2))
