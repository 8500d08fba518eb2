"""Whom the operator asks about a start that hangs, and what it understands of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.api import Reason
from agentsession_core.mailbox.model import RunRecord, RunState
from agentsession_operator.complaints import Kind, Subject, complaint_of, subject_of
from agentsession_operator.model import Children, JobView, PodView
from agentsession_testing.operator_worlds import NOW, make_claim, make_job, make_pod, make_run

JOB = Subject(Kind.JOB, "anna-r1", "job-1")
CLAIM = Subject(Kind.CLAIM, "anna-workspace", "claim-1")
POD = Subject(Kind.POD, "anna-r1-x", "pod-1")
PENDING = Children(claim=make_claim(phase="Pending"))
BOUND = Children(claim=make_claim())


def starting(seconds: float, **changes: Any) -> RunRecord:
    return make_run(hello_at=None, begun_at=NOW - seconds, **changes)


def hanging(**changes: Any) -> PodView:
    return make_pod(**{"phase": "Pending", "started": False, **changes})


@pytest.mark.parametrize(
    ("record", "job", "pod", "children", "expected"),
    [
        pytest.param(starting(2.9), make_job(), None, BOUND, None, id="job: too early"),
        pytest.param(starting(3), make_job(), None, BOUND, JOB, id="job without a pod"),
        pytest.param(starting(4.9), make_job(), hanging(), PENDING, None, id="claim: too early"),
        pytest.param(starting(5), make_job(), hanging(), PENDING, CLAIM, id="claim pending"),
        pytest.param(starting(9.9), make_job(), hanging(), BOUND, None, id="pod: too early"),
        pytest.param(starting(10), make_job(), hanging(), BOUND, POD, id="pod without container"),
        pytest.param(starting(99), make_job(), hanging(node=None), BOUND, None, id="unschedulable"),
        pytest.param(
            starting(99),
            make_job(),
            hanging(waiting_reason="ErrImagePull"),
            BOUND,
            None,
            id="image: the pod says it itself",
        ),
        pytest.param(starting(99), make_job(), make_pod(), BOUND, None, id="container runs"),
        pytest.param(make_run(), make_job(), None, BOUND, None, id="said hello"),
        pytest.param(
            starting(9, state=RunState.ENDED), make_job(), None, BOUND, None, id="being ended"
        ),
        pytest.param(starting(9), make_job(complete=True), None, BOUND, None, id="job finished"),
        pytest.param(starting(9), make_job(deleting=True), None, BOUND, None, id="job goes"),
        pytest.param(starting(9), None, None, BOUND, None, id="no job"),
        pytest.param(None, None, None, BOUND, None, id="no run"),
    ],
)
def test_whom_to_ask(
    record: RunRecord | None,
    job: JobView | None,
    pod: PodView | None,
    children: Children,
    expected: Subject | None,
) -> None:
    assert subject_of(record, job, pod, children, NOW) == expected


def event(reason: str, message: str, at: str = "2026-11-25T10:00:00Z") -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at}


@pytest.mark.parametrize(
    ("subject", "reason", "message", "expected"),
    [
        (
            JOB,
            "FailedCreate",
            'Error creating: pods "anna-r1-x" is forbidden: exceeded quota: small, requested: '
            "pods=1, used: pods=1, limited: pods=1",
            Reason.QUOTA_EXCEEDED,
        ),
        (JOB, "FailedCreate", "Error creating: violates PodSecurity", Reason.POD_REFUSED),
        (
            CLAIM,
            "ProvisioningFailed",
            'storageclass.storage.k8s.io "nope" not found',
            Reason.STORAGE_CLASS_NOT_FOUND,
        ),
        (CLAIM, "ProvisioningFailed", "failed to provision: disk full", Reason.VOLUME_STUCK),
        (CLAIM, "ExternalProvisioning", "Waiting for a volume to be created", Reason.VOLUME_STUCK),
        (CLAIM, "FailedBinding", "no storage class is set", Reason.VOLUME_STUCK),
        (POD, "FailedMount", "MountVolume.SetUp failed", Reason.VOLUME_STUCK),
        (POD, "FailedAttachVolume", "Multi-Attach error", Reason.VOLUME_STUCK),
        (POD, "FailedCreatePodSandBox", "no address left", Reason.CONTAINER_CANNOT_START),
    ],
)
def test_what_is_understood(subject: Subject, reason: str, message: str, expected: Reason) -> None:
    problem = complaint_of(subject, [event("Scheduled", "fine"), event(reason, message)])
    assert problem is not None
    assert problem.reason is expected
    assert problem.message == f"{subject.kind} {subject.name}: {message}"


def test_an_ordinary_start_is_no_complaint() -> None:
    ordinary = [event("WaitForFirstConsumer", "waiting"), event("Provisioning", "is working")]
    assert complaint_of(CLAIM, ordinary) is None


def test_the_newest_complaint_counts() -> None:
    old = event("FailedMount", "old", "2026-11-25T10:00:00Z")
    new = event("FailedAttachVolume", "new", "2026-11-25T10:00:09Z")
    series = {
        "reason": "FailedMount",
        "message": "newest",
        "lastTimestamp": None,
        "eventTime": "2026-11-25T09:00:00Z",
        "series": {"lastObservedTime": "2026-11-25T10:00:10Z"},
    }
    for events, expected in (([new, old], "new"), ([new, series, old], "newest")):
        problem = complaint_of(POD, events)
        assert problem is not None
        assert problem.message.endswith(expected)
