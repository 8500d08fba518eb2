"""`kubectl agents why`: what state a session is in, why, and what comes next. One pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from kubectl_agents.reasons import advice
from kubectl_agents.times import ago, moment, until

EVENTS_SHOWN: Final = 5
STATES: Final = {
    "Pending": "waits to be started",
    "Queued": "waits in a queue: as many runs are live as the cluster may have",
    "Starting": "is being started",
    "Idle": "is awake and waits for a message",
    "Working": "works on a turn",
    "Suspending": "is going to sleep",
    "Suspended": "sleeps: its workspace is kept and no pod runs",
    "Failed": "cannot run",
    "Terminating": "is being deleted",
}
_ASLEEP: Final = frozenset({"Suspended", "Suspending"})


@dataclass(frozen=True)
class Explanation:
    """Sentences for people."""

    name: str
    phase: str
    state: str
    why: tuple[str, ...]
    next: tuple[str, ...]
    events: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)

    def text(self) -> str:
        """The same for a terminal."""
        lines = [f"{self.name} {self.state}."]
        for title, sentences in (
            ("Why:", self.why),
            ("Next:", self.next),
            ("Lately:", self.events),
        ):
            if sentences:
                lines += ["", title, *(f"  {sentence}" for sentence in sentences)]
        return "\n".join(lines)


def explain(
    session: Mapping[str, Any], events: Sequence[Mapping[str, Any]], now: datetime
) -> Explanation:
    """Plain words about a session; `events` are Kubernetes' Events about it, newest last."""
    metadata, status = session.get("metadata") or {}, session.get("status") or {}
    name = str(metadata.get("name", ""))
    phase = str(status.get("phase") or "")
    if metadata.get("deletionTimestamp"):
        phase = "Terminating"
    return Explanation(
        name=name,
        phase=phase,
        state=_state(session, phase),
        why=tuple(_why(session, name, phase, now)),
        next=tuple(_next(session, name, phase, now)),
        events=tuple(_event(event, now) for event in events[-EVENTS_SHOWN:]),
    )


def condition(session: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition of the session, or nothing."""
    found = (session.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == kind), {})


def _state(session: Mapping[str, Any], phase: str) -> str:
    if not phase:
        return "was not looked at by an operator yet"
    if phase == "Suspended" and condition(session, "Suspended").get("reason") == "NeverStarted":
        return "has never had a message and sleeps"
    return STATES.get(phase, f"is {phase}")


def _why(session: Mapping[str, Any], name: str, phase: str, now: datetime) -> list[str]:
    if not phase:
        return [
            "No status has been written. Either it was made just now, or no operator watches this "
            "namespace (chart value sessions.namespaces)."
        ]
    pod = str((session.get("status") or {}).get("podName") or "")
    said: list[str] = []
    for kind, bad in (
        ("Accepted", "False"),
        ("Ready", "False"),
        ("Suspended", "True"),
        ("WorkspaceReady", "False"),
        ("Degraded", "True"),
    ):
        found = condition(session, kind)
        if found.get("status") != bad or _is_beside_the_point(found, kind, phase):
            continue
        sentence = " ".join(
            part
            for part in (
                _sentence(str(found.get("message") or found.get("reason") or "")),
                advice(str(found.get("reason") or ""), name, pod),
            )
            if part
        )
        if sentence and not any(sentence.startswith(_stem(one)) for one in said):
            said.append(f"{sentence} ({kind}: {found.get('reason')})")
    return [*said, *_last_turn(session, now)]


def _is_beside_the_point(found: Mapping[str, Any], kind: str, phase: str) -> bool:
    """Ready=False of a sleeping session says what Suspended=True says better."""
    if kind == "Ready":
        return found.get("reason") in {"NothingToDo", "NotAccepted"}
    if kind == "WorkspaceReady":
        return found.get("reason") in {"NotCreated", "VolumePending"}
    return kind == "Suspended" and phase not in _ASLEEP


def _stem(sentence: str) -> str:
    return sentence.rpartition(" (")[0]


def _last_turn(session: Mapping[str, Any], now: datetime) -> list[str]:
    last = (session.get("status") or {}).get("lastTurn") or {}
    if not last:
        return []
    when = ago(moment(last.get("finishedAt")), now)
    how = "succeeded" if last.get("outcome") == "Succeeded" else f"ended as {last.get('outcome')}"
    return [f"Its last turn (from {last.get('source')}) {how}, {when}."]


def _next(session: Mapping[str, Any], name: str, phase: str, now: datetime) -> list[str]:
    status = session.get("status") or {}
    if phase == "Terminating":
        return ["It goes when its run has ended and its volume is released."]
    steps: list[str] = []
    if phase == "Queued" and status.get("queuePosition"):
        steps.append(f"It is number {status['queuePosition']} in the queue.")
    if phase == "Idle":
        when = until(moment(status.get("suspendTime")), now)
        steps.append(f"It goes to sleep {when} if no message comes. Asleep it keeps its files.")
    if phase in _ASLEEP:
        by_hand = (session.get("spec") or {}).get("operatingMode") == "Suspended"
        steps.append(
            f"Messages wait until it is resumed: kubectl agents resume {name}"
            if by_hand
            else f"The next message wakes it: kubectl agents chat {name}"
        )
    if phase in {"Working", "Starting", "Pending"} and _is_by_hand(session):
        steps.append("It was told to suspend: it sleeps when the running turn has ended.")
    return [*steps, *_end(status, name, now)]


def _is_by_hand(session: Mapping[str, Any]) -> bool:
    return (session.get("spec") or {}).get("operatingMode") == "Suspended"


def _end(status: Mapping[str, Any], name: str, now: datetime) -> list[str]:
    if not status:
        return []
    when = moment(status.get("expirationTime"))
    if when is None:
        return ["It is never deleted for idleness."]
    return [
        f"It is deleted {until(when, now)} if nothing happens; any message puts that off, and so does "
        f"kubectl agents keep {name}."
    ]


def _event(event: Mapping[str, Any], now: datetime) -> str:
    when = moment(event.get("lastTimestamp") or event.get("eventTime"))
    mark = "! " if event.get("type") == "Warning" else ""
    return f"{ago(when, now)}: {mark}{event.get('reason')}: {event.get('message')}"


def _sentence(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    # A field's name keeps its spelling.
    if "." not in text.split()[0].rstrip("."):
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else f"{text}."
