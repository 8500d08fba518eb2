"""What stands in Redis: streams' entries and hashes. `docs/contract.md` is generated from this.

Every field is a string there. Our scripts write exactly these fields; whoever reads has to bear with
missing and unknown ones, since anyone may XADD by hand and a newer release may say more.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from agentsession_core.api.values import TurnOutcome

Seconds = Annotated[str, StringConstraints(pattern=r"^\d+\.\d{6}$")]
Number = Annotated[str, StringConstraints(pattern=r"^\d+$")]


class Source(StrEnum):
    """Where a message came from; it says where its answer goes."""

    TELEGRAM = "telegram"
    PROMPT = "prompt"
    TERMINAL = "terminal"
    API = "api"


class FileReference(BaseModel):
    """A file that came with a message: never its bytes.

    `ref` is what its source calls it, `id` what a run calls it. `name` is the sender's word.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    ref: str = Field(min_length=1, max_length=512)
    name: str = Field(max_length=255)
    size: int | None = Field(default=None, ge=0)
    kind: str = Field(default="document", max_length=32)


class NewMessage(BaseModel):
    """A person's message on its way in. Raises pydantic.ValidationError where it cannot be one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: Literal[Source.TELEGRAM, Source.TERMINAL, Source.API]
    id: str = Field(min_length=1, max_length=256)
    chat: str = Field(default="", max_length=64)
    text: str = ""
    files: tuple[FileReference, ...] = Field(default=(), max_length=100)


class Contract(BaseModel):
    """Fields of an entry or a hash as they stand in Redis."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IncomingEntry(Contract):
    """A message that waits or is in the running turn. By hand only `text` is needed."""

    id: str = Field(description="the source's own id, in `reply_to` later; without it the entry's")
    source: Source = Field(description="where it came from; `api` if missing")
    chat: str = Field(description="where the answer goes within the source")
    conversation: Number = Field(description="the mailbox's conversation number as it came in")
    text: str = Field(description="what the person wrote")
    files: str = Field(description="JSON list of `{id, ref, name, size, kind}`: no bytes")
    at: Seconds = Field(description="when it came in, seconds since the epoch by Redis' clock")


class OutgoingEntry(Contract):
    """What is to be delivered, in this order. Deleted by whoever has delivered it."""

    id: str = Field(
        description="the turn's, the response's or the notice's id: never the same twice"
    )
    kind: Literal["answer", "respond", "notice", "file"] = Field(
        description="`answer` ends messages, `respond` is said in the middle of their turn, `notice` is "
        "the system's own word"
    )
    reply_to: str = Field(description="JSON list of the ids of the messages that it answers")
    chat: str = Field(description="the messages' `chat`")
    turn: str = Field(description="the turn; empty where the notice ends none")
    outcome: Literal[""] | TurnOutcome = Field(
        description="the turn's; `DeadLettered` for a notice that ends messages, else empty"
    )
    text: str = Field(description="what is said; of a file its name")
    file: str | None = Field(default=None, description="the field of `files` that has it")
    at: Seconds = Field(description="when it was said")
    came_at: Seconds | Literal[""] | None = Field(
        default=None, description="of the oldest message that it answers; not in a notice"
    )
    launch: str | None = Field(
        default=None, description="what that message found: `cold`, `resume`, `warm`, `behind`"
    )


class EventEntry(Contract):
    """What happens in a turn while it happens. Telemetry: trimmed to about 1000 entries."""

    turn: str = Field(description="the turn; empty for a notice")
    seq: Number = Field(
        description="the runner's count within the turn, from 0; the gateway's own have 0"
    )
    kind: str = Field(
        description="`delta`, `tool`, `usage`, `state`; `turn` (begun, ended); `respond`, `notice`"
    )
    source: str = Field(default="", description="whose messages the turn answers")
    data: str = Field(description="a JSON object")


class ControlEntry(Contract):
    """Who asked for what. The wish itself stands in the turn's record. About 100 entries are kept."""

    kind: Literal["cancel"] = Field(description="what was asked for")
    turn: str = Field(description="the turn that it means")
    by: str = Field(description="who asked: a source")
    at: Seconds = Field(description="when")


class DeadEntry(Contract):
    """A message that was given up; its sender was told. The newest 100 are kept for people to look at."""

    id: str = Field(description="as in `incoming`, like the next six")
    source: str = Field(description="")
    chat: str = Field(description="")
    conversation: str = Field(description="")
    text: str = Field(description="")
    files: str = Field(description="")
    at: str = Field(description="")
    turn: str = Field(description="the turn that was cut off; empty if none began")
    attempts: Number = Field(description="how many runs the turn was given to")
    reason: str = Field(description="why, a reason as in the conditions")
    died_at: Seconds = Field(description="when it was given up")


class ReadyEntry(Contract):
    """A mailbox's `outgoing` has something new."""

    mailbox: str = Field(description="whose")


class HintEntry(Contract):
    """Something changed in a mailbox: look at its state. Losing one costs time, nothing else."""

    mailbox: str = Field(description="whose")
    kind: str = Field(description="what, for people who read along")


class DecisionEntry(Contract):
    """A person's decision in their chat on what an agent asks. Deleted once it is carried out."""

    approval: str = Field(description="the approval's id")
    decision: Literal["approve", "deny"] = Field(description="yes or no")
    user: str = Field(description="whose chat it came from, as the session's `user.id` there")
    mailbox: str = Field(description="the chat's, where one person alone is there; else empty")
    by: str = Field(description="who pressed: `telegram:<person's id>`")


class TurnHash(Contract):
    """The turn that runs, or that a dead run left to the next one."""

    turn: str = Field(description="its id, chosen by the gateway")
    run: str = Field(description="`<session uid>/<number>` of the run that has it")
    ids: str = Field(description="JSON list of its entries in `incoming`")
    source: str = Field(description="of its messages")
    chat: str = Field(description="of its messages")
    conversation: str = Field(description="of its messages")
    attempt: Number = Field(description="1, and one more for every run that it was given to")
    started_at: Seconds = Field(description="when its first attempt began")
    deadline: str = Field(description="when its time is over, seconds since the epoch")
    came_at: Seconds | None = Field(default=None, description="of its oldest message")
    launch: str | None = Field(
        default=None, description="what that message found: `cold`, `resume`, `warm`, `behind`"
    )
    model_request_at: Seconds | None = Field(
        default=None, description="when its first model call came"
    )
    first_token_at: Seconds | None = Field(default=None, description="when its answer began")
    cancelled_at: Seconds | None = Field(default=None, description="when a person stopped it")
    cut_run: str | None = Field(default=None, description="the newest run that ended in its middle")
    deaths: Number | None = Field(default=None, description="runs that did by their own doing")
    evictions: Number | None = Field(default=None, description="runs that were taken away")
    responses: Number | None = Field(
        default=None, description="how often its agent said something in its middle"
    )
    model_status: str | None = Field(default=None, description="how its newest model call failed")
    model_code: str | None = Field(default=None, description="the API's type of error")
    model_detail: str | None = Field(default=None, description="the API's words")


class MailboxHash(Contract):
    """The mailbox itself."""

    state: Literal["open", "closed"] | None = Field(
        default=None, description="`closed` while its idle session is being deleted"
    )
    session: str | None = Field(default=None, description="uid of the AgentSession that has it")
    conversation: Number | None = Field(default=None, description="raised by `/new`; 1 if missing")
    agent_session_id: str | None = Field(
        default=None, description="the CLI's own id of that conversation"
    )
    previous_session_id: str | None = Field(
        default=None, description="that of the conversation before, for `/resume`"
    )
    incoming_bytes: Number | None = Field(default=None, description="text and files that wait")
    reopened: Literal["1"] | None = Field(
        default=None, description="a message came after it was closed: it waits for a new session"
    )
    held_told: Seconds | None = Field(
        default=None, description="when chats were told that the session sleeps by hand"
    )
    user: str | None = Field(default=None, description="whose session that is")
    source: str | None = Field(default=None, description="of the newest message from a chat")
    chat: str | None = Field(default=None, description="the chat that it came from")
    kept_at: Seconds | None = Field(default=None, description="when someone asked to keep it")
    warned: Number | None = Field(default=None, description="the end of which people were told")
    warned_at: Seconds | None = Field(default=None, description="when they were told")
    rebuilt_at: Seconds | None = Field(
        default=None, description="when it was made from what the API server knows"
    )
    handled: str | None = Field(
        default=None, description="up to this entry everything had its answer then"
    )
    lost_message: str | None = Field(
        default=None, description="what was never answered, to be told"
    )
    failures: Number | None = Field(default=None, description="runs that failed in a row")
    failed_run: str | None = Field(default=None, description="the newest of them")
    failed_at: Seconds | None = Field(default=None, description="when it failed")
    failure: str | None = Field(default=None, description="why, a reason as in the conditions")
    failure_message: str | None = Field(default=None, description="why, in words")


PER_MAILBOX: Final[dict[str, type[Contract]]] = {
    "incoming": IncomingEntry,
    "outgoing": OutgoingEntry,
    "events": EventEntry,
    "control": ControlEntry,
    "dead": DeadEntry,
    "mailbox": MailboxHash,
    "turn": TurnHash,
}
PER_INSTALLATION: Final[dict[str, type[Contract]]] = {
    "outgoing:ready": ReadyEntry,
    "sessions:events": HintEntry,
    "orchestrator:decisions": DecisionEntry,
}
