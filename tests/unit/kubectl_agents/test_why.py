"""`kubectl agents why`: a table of situations and what is said about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentsession_core.api import Phase, Reason
from kubectl_agents.reasons import ADVICE, ORDINARY, advice
from kubectl_agents.why import STATES, explain

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
BAD = {"Accepted": "False", "Ready": "False", "WorkspaceReady": "False"}


def conditions(**found: tuple[str, str]) -> list[dict[str, str]]:
    """Kind → (reason, message); the status is the one that calls for an explanation."""
    return [
        {"type": kind, "status": BAD.get(kind, "True"), "reason": reason, "message": message}
        for kind, (reason, message) in found.items()
    ]


def session(
    phase: str = "", *, spec: dict[str, Any] | None = None, meta: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:  # fmt: skip
    return {
        "metadata": {"name": "ada", **(meta or {})},
        "spec": {"user": {"id": "42"}, **(spec or {})},
        "status": {"phase": phase, **status} if phase else {},
    }


SOON, LATER = "2026-11-25T12:04:10Z", "2026-11-26T13:00:00Z"
ASLEEP = ("Idle", "Nothing happened for 300 s.")
CASES: dict[str, tuple[dict[str, Any], str, list[str], list[str]]] = {
    "nobody has looked": (
        session(),
        "was not looked at by an operator yet",
        ["No status has been written. Either it was made just now, or no operator watches this "
         "namespace (chart value sessions.namespaces)."],
        [],
    ),
    "awake": (
        session("Idle", suspendTime=SOON, expirationTime=LATER),
        "is awake and waits for a message",
        [],
        ["It goes to sleep in 4m10s (at 12:04:10 UTC) if no message comes. Asleep it keeps its files.",
         "It is deleted in 1d1h (at 2026-11-26 13:00:00 UTC) if nothing happens; any message puts that "
         "off, and so does kubectl agents keep ada."],
    ),
    "asleep": (
        session(
            "Suspended",
            conditions=conditions(Ready=("NothingToDo", "Asleep."), Suspended=ASLEEP),
            lastTurn={"source": "prompt", "outcome": "Succeeded", "finishedAt": "2026-11-25T11:50:00Z"},
        ),
        "sleeps: its workspace is kept and no pod runs",
        ["Nothing happened for 300 s. (Suspended: Idle)",
         "Its last turn (from prompt) succeeded, 10m ago."],
        ["The next message wakes it: kubectl agents chat ada", "It is never deleted for idleness."],
    ),
    "never used": (
        session("Suspended", conditions=conditions(Suspended=("NeverStarted", "No message has come yet."))),
        "has never had a message and sleeps",
        ["No message has come yet. (Suspended: NeverStarted)"],
        ["The next message wakes it: kubectl agents chat ada", "It is never deleted for idleness."],
    ),
    "suspended by hand": (
        session(
            "Suspended",
            spec={"operatingMode": "Suspended"},
            conditions=conditions(Suspended=("SuspendedByUser", "spec.operatingMode is Suspended.")),
        ),
        "sleeps: its workspace is kept and no pod runs",
        ["spec.operatingMode is Suspended. kubectl agents resume ada wakes it; messages wait until then. "
         "(Suspended: SuspendedByUser)"],
        ["Messages wait until it is resumed: kubectl agents resume ada",
         "It is never deleted for idleness."],
    ),
    "told to suspend in a turn": (
        session("Working", spec={"operatingMode": "Suspended"}),
        "works on a turn",
        [],
        ["It was told to suspend: it sleeps when the running turn has ended.",
         "It is never deleted for idleness."],
    ),
    "queued": (
        session("Queued", queuePosition=3),
        "waits in a queue: as many runs are live as the cluster may have",
        [],
        ["It is number 3 in the queue.", "It is never deleted for idleness."],
    ),
    "no image": (
        session(
            "Failed",
            podName="ada-r1-x",
            conditions=conditions(Ready=("ImagePullFailed", "ErrImagePull: not found")),
        ),
        "cannot run",
        ["ErrImagePull: not found. Mend the image's name or its pull secret; the kubelet tries again by "
         "itself. (Ready: ImagePullFailed)"],
        ["It is never deleted for idleness."],
    ),
    "logs of its pod": (
        session(
            "Failed",
            podName="ada-r1-x",
            conditions=conditions(Ready=("RunFailed", "the run ended with exit code 1")),
        ),
        "cannot run",
        ["The run ended with exit code 1. kubectl logs of the run's pod (ada-r1-x) says more. "
         "(Ready: RunFailed)"],
        ["It is never deleted for idleness."],
    ),
    "not accepted is said once": (
        session(
            "Failed",
            conditions=conditions(
                Accepted=("TemplateNotFound", "template 'x' does not exist"),
                Ready=("NotAccepted", "template 'x' does not exist"),
            ),
        ),
        "cannot run",
        ["Template 'x' does not exist. Create that template; the session goes on by itself. "
         "(Accepted: TemplateNotFound)"],
        ["It is never deleted for idleness."],
    ),
    "the same trouble twice is said once": (
        session(
            "Failed",
            conditions=conditions(
                Ready=("VolumeRefused", "forbidden: storage"),
                WorkspaceReady=("VolumeRefused", "forbidden: storage"),
            ),
        ),
        "cannot run",
        ["Forbidden: storage. Change the template's workspace to what the API server accepts. "
         "(Ready: VolumeRefused)"],
        ["It is never deleted for idleness."],
    ),
    "a bad turn": (
        session(
            "Idle",
            conditions=conditions(Degraded=("ModelNotFound", "there is no model 'x'")),
            lastTurn={"source": "terminal", "outcome": "ModelError", "finishedAt": "2026-11-25T11:59:55Z"},
        ),
        "is awake and waits for a message",
        ["There is no model 'x'. Choose another model in the session or its template. "
         "(Degraded: ModelNotFound)",
         "Its last turn (from terminal) ended as ModelError, 5s ago."],
        ["It goes to sleep at no set time if no message comes. Asleep it keeps its files.",
         "It is never deleted for idleness."],
    ),
    "going": (
        session("Idle", meta={"deletionTimestamp": "2026-11-25T11:59:00Z"}),
        "is being deleted",
        [],
        ["It goes when its run has ended and its volume is released."],
    ),
    "words of a newer release": (
        session("Levitating", conditions=conditions(Ready=("MoonTooClose", "the moon is too close"))),
        "is Levitating",
        ["The moon is too close. kubectl describe agentsession ada has the whole story. "
         "(Ready: MoonTooClose)"],
        ["It is never deleted for idleness."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(case: str) -> None:
    body, state, why, following = CASES[case]
    told = explain(body, [], NOW)
    assert (told.state, list(told.why), list(told.next)) == (state, why, following)


def test_every_phase_and_reason_of_the_api_has_words() -> None:
    assert set(STATES) == {phase.value for phase in Phase}
    assert ORDINARY | set(ADVICE) == {reason.value for reason in Reason}
    assert ORDINARY & set(ADVICE) == set()


@pytest.mark.parametrize("reason", sorted(ADVICE))
def test_advice_is_a_sentence(reason: str) -> None:
    said = advice(reason, "ada", "")
    assert said[-1] == "."
    assert "{" not in said


def test_the_newest_events_are_told() -> None:
    events = [
        {
            "type": "Warning" if number == 6 else "Normal",
            "reason": f"R{number}",
            "message": "said",
            "lastTimestamp": f"2026-11-25T11:5{number}:00Z",
        }
        for number in range(7)
    ]
    told = explain(session("Idle"), events, NOW)
    assert told.events == (
        "8m ago: R2: said",
        "7m ago: R3: said",
        "6m ago: R4: said",
        "5m ago: R5: said",
        "4m ago: ! R6: said",
    )
    text = told.text()
    assert text.splitlines()[0] == "ada is awake and waits for a message."
    assert "Lately:\n  8m ago" in text


@pytest.mark.parametrize(
    "body", [{}, {"status": None}, {"status": {"phase": "Idle", "conditions": None}}]
)
def test_an_object_with_holes(body: dict[str, Any]) -> None:
    assert explain(body, [{}], NOW).text()
