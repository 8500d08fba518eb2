"""What the gateway says, taken apart tolerantly: a newer gateway may say more, never less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ProcessMode = Literal["Persistent", "PerTurn"]


class OrderError(ValueError):
    """The gateway's words do not follow the protocol; the message names the field."""


@dataclass(frozen=True)
class Skill:
    """A skill by name; `files` are (path below the skill's folder, content)."""

    name: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Welcome:
    """The answer to hello."""

    run: str
    conversation: int
    agent_session_id: str | None
    model: str | None
    args: tuple[str, ...]
    process_mode: ProcessMode
    instructions: str
    skills: tuple[Skill, ...]
    drained: bool = False


@dataclass(frozen=True)
class Attachment:
    """A file that came with a message, to be fetched. `name` is the sender's word; `size` in bytes."""

    id: str
    name: str
    size: int | None = None
    kind: str = "document"


@dataclass(frozen=True)
class Message:
    """One message of a turn. `files` are paths in the workspace."""

    id: str
    text: str
    files: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class TurnOrder:
    """Do this turn; `remaining_seconds` is what is left of its time."""

    turn: str
    attempt: int
    conversation: int
    messages: tuple[Message, ...]
    remaining_seconds: float


@dataclass(frozen=True)
class CancelOrder:
    """Stop that turn, if it is the one that runs."""

    turn: str


@dataclass(frozen=True)
class DrainOrder:
    """Say bye and exit once no turn runs."""


@dataclass(frozen=True)
class ExportOrder:
    """Send the workspace to the gateway at `address`."""

    export: str
    address: str


Order = TurnOrder | CancelOrder | DrainOrder | ExportOrder


def parse_welcome(data: Mapping[str, Any]) -> Welcome:
    """Parse the answer to hello.

    Raises:
        OrderError: a field is missing or of another type.
    """
    mode = _field(data, "processMode", str)
    if mode not in ("Persistent", "PerTurn"):
        raise OrderError(f"processMode must be Persistent or PerTurn, not {mode!r}")
    return Welcome(
        run=_field(data, "run", str),
        conversation=_field(data, "conversation", int),
        agent_session_id=_optional(data, "agentSessionID", str),
        model=_optional(data, "model", str),
        args=_texts(data, "args"),
        process_mode="PerTurn" if mode == "PerTurn" else "Persistent",
        instructions=_optional(data, "instructions", str) or "",
        skills=tuple(_skill(item) for item in _objects(data, "skills")),
        drained=data.get("drained") is True,
    )


def parse_order(event: str, data: Mapping[str, Any]) -> Order | None:
    """Parse one event of the stream; None for a kind that this runner does not know.

    Raises:
        OrderError: a field is missing or of another type.
    """
    if event == "turn":
        return TurnOrder(
            turn=_field(data, "turn", str),
            attempt=_field(data, "attempt", int),
            conversation=_field(data, "conversation", int),
            messages=tuple(_message(item) for item in _objects(data, "messages")),
            remaining_seconds=_seconds(data, "remainingSeconds"),
        )
    if event == "cancel":
        return CancelOrder(_field(data, "turn", str))
    if event == "drain":
        return DrainOrder()
    if event == "export":
        return ExportOrder(_field(data, "export", str), _field(data, "address", str))
    return None


def _skill(data: Mapping[str, Any]) -> Skill:
    files = tuple(
        (_field(item, "path", str), _field(item, "content", str))
        for item in _objects(data, "files")
    )
    return Skill(_field(data, "name", str), files)


def _message(data: Mapping[str, Any]) -> Message:
    return Message(
        _field(data, "id", str),
        _field(data, "text", str),
        _texts(data, "files"),
        tuple(_attachment(item) for item in _objects(data, "attachments")),
    )


def _attachment(data: Mapping[str, Any]) -> Attachment:
    return Attachment(
        _field(data, "id", str),
        _field(data, "name", str),
        _optional(data, "size", int),
        _optional(data, "kind", str) or "document",
    )


def _field(data: Mapping[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise OrderError(f"{name} must be {kind.__name__}, not {type(value).__name__}")
    return value


def _optional(data: Mapping[str, Any], name: str, kind: type) -> Any:
    return None if data.get(name) is None else _field(data, name, kind)


def _seconds(data: Mapping[str, Any], name: str) -> float:
    value = data.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        raise OrderError(f"{name} must be a number, not {value!r}")
    return float(value)


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    return list(_optional(data, name, list) or [])


def _objects(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = _list(data, name)
    if not all(isinstance(item, dict) for item in items):
        raise OrderError(f"{name} must hold objects")
    return items


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    items = _list(data, name)
    if not all(isinstance(item, str) for item in items):
        raise OrderError(f"{name} must hold texts")
    return tuple(items)
