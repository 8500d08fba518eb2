"""What a person sees of a session's events. A pure state machine: events in, things to say out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agentsession_core.terminal import (
    OPEN_SOURCES,
    SOURCE,
    HistoryTurn,
    TerminalEvent,
    TerminalEventKind,
)

CANCELLED = "Cancelled"
SUCCEEDED = "Succeeded"


class Tone(Enum):
    """How something is said."""

    TEXT = "text"
    TOOL = "tool"
    NOTE = "note"
    PROBLEM = "problem"
    ANSWER = "answer"
    QUESTION = "question"
    BREAK = "break"


@dataclass(frozen=True)
class Say:
    """Something to show. A TEXT goes on where the last one stopped, a BREAK ends its line; the others
    are whole lines."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class Outcome:
    """How a message ended. `refused`: it gets no answer at all."""

    outcome: str
    text: str
    error: str = ""
    refused: bool = False


@dataclass
class Follower:
    """Follows the events of one session; `message` is the one of ours that waits for its answer."""

    message: str | None = None
    turn: str | None = None
    outcome: Outcome | None = None
    _said: dict[str, str] = field(default_factory=dict)

    def expect(self, message: str) -> None:
        """A message of ours was sent."""
        self.message, self.turn, self.outcome = message, None, None

    def take(self, kind: str, event: TerminalEvent) -> list[Say]:
        """What the event makes us say; `outcome` is set when our message has ended."""
        match kind:
            case TerminalEventKind.BEGUN:
                return self._begun(event)
            case TerminalEventKind.DELTA:
                self._said[event.turn] = self._said.get(event.turn, "") + event.text
                return [Say(Tone.TEXT, event.text)] if event.text else []
            case TerminalEventKind.TOOL:
                summary = f" {event.text}" if event.text else ""
                return [Say(Tone.TOOL, f"{event.name}{summary}")]
            case TerminalEventKind.NOTE:
                return [Say(Tone.NOTE, event.text)]
            case TerminalEventKind.SAID:
                return self._mid_turn(event)
            case TerminalEventKind.NOTICE:
                return self._notice(event)
            case TerminalEventKind.ENDED:
                return self._ended(event)
        # A newer gateway's.
        return []

    def _is_ours(self, event: TerminalEvent) -> bool:
        return self.message in {message.id for message in event.messages}

    def _begun(self, event: TerminalEvent) -> list[Say]:
        self._said[event.turn] = ""
        ours = self._is_ours(event)
        if ours:
            self.turn = event.turn
        if event.attempt > 1:
            return [Say(Tone.NOTE, f"the run was cut off; attempt {event.attempt} in the next one")]
        if ours:
            return []
        if event.source not in OPEN_SOURCES:
            return [Say(Tone.NOTE, f"the agent works on a message from {event.source}")]
        where = "another terminal" if event.source == SOURCE else "spec.prompt"
        asked = [message.text for message in event.messages if message.text]
        return [
            Say(Tone.NOTE, f"the agent works on a message from {where}"),
            *(Say(Tone.QUESTION, text) for text in asked),
        ]

    def _mid_turn(self, event: TerminalEvent) -> list[Say]:
        streamed = bool(self._said.get(event.turn))
        return [*([Say(Tone.BREAK, "")] if streamed else []), Say(Tone.ANSWER, event.text)]

    def _ended(self, event: TerminalEvent) -> list[Say]:
        said = self._said.pop(event.turn, "")
        says = [Say(Tone.BREAK, "")] if said else []
        if event.source in OPEN_SOURCES:
            text = event.text.strip()
            # The answer repeats the end of what was streamed; what was missed is said now.
            if text and not said.strip().endswith(text):
                says.append(Say(Tone.ANSWER, event.text))
        else:
            how = "is answered" if event.outcome == SUCCEEDED else f"ended as {event.outcome}"
            says.append(Say(Tone.NOTE, f"the message from {event.source} {how}"))
        if event.turn == self.turn or self._is_ours(event):
            self.outcome = Outcome(event.outcome, event.text, event.error)
            self.message = self.turn = None
        if event.source in OPEN_SOURCES and event.outcome != SUCCEEDED:
            says.append(Say(Tone.PROBLEM, failure_text(event.outcome, event.error)))
        return says

    def _notice(self, event: TerminalEvent) -> list[Say]:
        if self._is_ours(event):
            self.outcome = Outcome("", "", event.text, refused=True)
            self.message = self.turn = None
        return [Say(Tone.PROBLEM, event.text)]


def failure_text(outcome: str, error: str) -> str:
    """One line about a turn that did not succeed."""
    if outcome == CANCELLED:
        return "stopped"
    return f"the turn ended as {outcome}" + (f": {error}" if error else "")


def tell_history(turns: tuple[HistoryTurn, ...], limit: int) -> list[Say]:
    """The newest turns as they would have been seen; the open one is not told."""
    says: list[Say] = []
    for turn in turns[-limit:] if limit else ():
        if turn.source not in OPEN_SOURCES:
            how = turn.outcome or "open"
            says.append(Say(Tone.NOTE, f"a message from {turn.source} ({how})"))
            continue
        says += [Say(Tone.QUESTION, message.text) for message in turn.messages if message.text]
        if turn.text:
            says.append(Say(Tone.ANSWER, turn.text))
        if turn.outcome not in (None, SUCCEEDED):
            says.append(Say(Tone.PROBLEM, failure_text(str(turn.outcome), turn.error)))
    return says
