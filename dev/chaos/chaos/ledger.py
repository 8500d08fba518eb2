"""What was accepted and what was answered, and whether the two agree. Pure: times are arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Violation:
    """A broken invariant. `ids` are what to look for in the logs."""

    invariant: str
    mailbox: str
    message: str
    ids: tuple[str, ...] = ()


@dataclass
class Message:
    """A message that was offered. Times in seconds of one clock."""

    id: str
    offered_at: float
    accepted_at: float | None = None
    answered_at: float | None = None
    entries: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """An answer or a notice as the bridge reads it."""

    entry: str
    kind: str
    reply_to: tuple[str, ...]
    outcome: str
    text: str


@dataclass
class Mailbox:
    """One mailbox's history."""

    name: str
    messages: dict[str, Message] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


class Ledger:
    """Every mailbox's messages and answers; violations are kept as they are found."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, Mailbox] = {}
        self.violations: list[Violation] = []
        self._listeners: dict[str, Callable[[], None]] = {}

    def when_answered(self, message: str, call: Callable[[], None]) -> None:
        """Calls once, with the message's first answer."""
        self._listeners[message] = call

    def mailbox(self, name: str) -> Mailbox:
        return self.mailboxes.setdefault(name, Mailbox(name))

    def offer(self, mailbox: str, message: str, at: float) -> None:
        """The message is about to be given to the product, perhaps more than once."""
        box = self.mailbox(mailbox)
        box.messages[message] = Message(message, at)
        box.events.append(f"{at:9.3f} offered {message}")

    def accept(self, mailbox: str, message: str, at: float) -> None:
        """The product said that it has the message."""
        box = self.mailbox(mailbox)
        box.messages[message].accepted_at = at
        box.events.append(f"{at:9.3f} accepted {message}")

    def refuse(self, mailbox: str, message: str, at: float, why: str) -> None:
        """The product said no: nobody may answer it."""
        box = self.mailbox(mailbox)
        del box.messages[message]
        box.events.append(f"{at:9.3f} refused {message}: {why}")

    def note(self, mailbox: str, at: float, what: str) -> None:
        """Something that explains the mailbox's history."""
        self.mailbox(mailbox).events.append(f"{at:9.3f} {what}")

    def answer(self, mailbox: str, answer: Answer, at: float) -> None:
        """An entry of the outgoing stream; what is wrong with it is a violation."""
        box = self.mailbox(mailbox)
        box.answers.append(answer)
        said = f"{answer.kind} {answer.outcome} to {', '.join(answer.reply_to) or 'nobody'}"
        box.events.append(f"{at:9.3f} {said} ({answer.entry})")
        for message_id in answer.reply_to:
            message = box.messages.get(message_id)
            if message is None:
                self.violate("answers are to messages", mailbox, f"{said}: unknown", message_id)
                continue
            message.entries.append(answer.entry)
            if message.answered_at is not None:
                entries = ", ".join(message.entries)
                self.violate("answered once", mailbox, f"answered by {entries}", message_id)
            message.answered_at = at
            self._listeners.pop(message_id, _nobody)()
        self._check_text(box, answer)

    def _check_text(self, box: Mailbox, answer: Answer) -> None:
        """The stand-in repeats what it was told: an answer must hold every message it is to."""
        if answer.kind != "answer" or answer.outcome != "Succeeded":
            return
        for message_id in answer.reply_to:
            if f"[{message_id}]" not in answer.text:
                text = answer.text[:200]
                self.violate("answers hold their messages", box.name, f"{text!r}", message_id)

    def violate(self, invariant: str, mailbox: str, message: str, *ids: str) -> None:
        """Writes down a broken invariant."""
        self.violations.append(Violation(invariant, mailbox, message, ids))

    def waiting(self, mailbox: str) -> list[Message]:
        """Accepted messages without an answer, oldest first."""
        return [
            message
            for message in self.mailbox(mailbox).messages.values()
            if message.accepted_at is not None and message.answered_at is None
        ]

    def waiting_everywhere(self) -> list[Message]:
        return [message for name in self.mailboxes for message in self.waiting(name)]

    def close(self) -> None:
        """The end: what has no answer now is lost, and the order is compared."""
        for box in self.mailboxes.values():
            for message in self.waiting(box.name):
                self.violate("nothing is lost", box.name, "accepted, never answered", message.id)
            self._check_order(box)

    def _check_order(self, box: Mailbox) -> None:
        offered = [m.id for m in box.messages.values() if m.entries]
        answered = [m for answer in box.answers for m in answer.reply_to if m in box.messages]
        answered = list(dict.fromkeys(answered))
        for expected, found in zip(offered, answered, strict=False):
            if expected != found:
                said = f"answered {found} where {expected} was due"
                self.violate("answered in order", box.name, said, expected, found)
                return


def _nobody() -> None:
    return None


@dataclass(frozen=True)
class Figures:
    """The report's numbers. Times in seconds."""

    messages: int
    answers: int
    notices: int
    duplicates: int
    losses: int
    outcomes: dict[str, int]
    longest: float
    median: float
    p95: float


def figures(boxes: Iterable[Mailbox], violations: Sequence[Violation]) -> Figures:
    """Counts and times over all mailboxes."""
    found = list(boxes)
    messages = [m for box in found for m in box.messages.values() if m.accepted_at is not None]
    answers = [answer for box in found for answer in box.answers]
    times = sorted(
        max(0.0, m.answered_at - m.accepted_at)
        for m in messages
        if m.answered_at is not None and m.accepted_at is not None
    )
    counted = Counter(violation.invariant for violation in violations)
    return Figures(
        messages=len(messages),
        answers=sum(answer.kind == "answer" for answer in answers),
        notices=sum(answer.kind != "answer" for answer in answers),
        duplicates=counted["answered once"],
        losses=counted["nothing is lost"],
        outcomes=dict(Counter(answer.outcome or answer.kind for answer in answers)),
        longest=times[-1] if times else 0.0,
        median=_at(times, 0.5),
        p95=_at(times, 0.95),
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
