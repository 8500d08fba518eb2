"""The runner protocol: what the gateway and the runner say to each other.

The runner starts in a tenth of a second and therefore has no pydantic; a contract test holds its
plain dictionaries against these models (`tests/unit/runner/test_contract.py`).

Paths, all below the gateway's URL, all with `Authorization: Bearer <projected token>`:

- `POST /v1/runner/hello` `Hello` → `Welcome`
- `GET /v1/runner/stream` → server-sent events `turn` (`TurnOrder`), `cancel` (`CancelOrder`),
  `export` (`ExportOrder`), `drain` (`DrainOrder`), comment lines as keep-alives
- `POST /v1/runner/turns/<turn>/events` `EventBatch` → 202
- `POST /v1/runner/turns/<turn>/result` `TurnResult` → `ResultReceipt`, idempotent
- `GET /v1/runner/turns/<turn>/files/<id>` the bytes of a file that came with a message of the turn
- `POST /v1/runner/turns/<turn>/files` `NewFile` → `FileGrant`, then
  `PUT /v1/runner/turns/<turn>/files/<number>/<upload>` its bytes in chunks → 204; from the beginning
  again as often as it takes
- `POST /v1/runner/exports/<export>` a tar in chunks → 204
- `POST /v1/runner/bye` → `ByeReceipt`
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

PROTOCOL: Final = 1
EVENT_LIMIT_BYTES: Final = 16 * 1024
RESULT_LIMIT_BYTES: Final = 1024 * 1024
# What Telegram gives to a bot and takes from one, in its own millions.
FILE_IN_LIMIT_BYTES: Final = 20_000_000
FILE_OUT_LIMIT_BYTES: Final = 50_000_000
FILES_OUT_PER_TURN: Final = 10


def _alias(name: str) -> str:
    camel = to_camel(name)
    return camel[:-2] + "ID" if camel.endswith("Id") and camel != "id" else camel


class WireModel(BaseModel):
    """Read tolerantly (a newer peer may say more), written as declared."""

    model_config = ConfigDict(
        alias_generator=_alias, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that goes over the wire."""
        return self.model_dump(by_alias=True, mode="json")


class Hello(WireModel):
    """The runner's first words."""

    protocol: int = Field(ge=1)
    agent_type: str = Field(max_length=32)
    cli_version: str = Field(default="", max_length=64)
    # How long ago the runner's process, and with it its container, began. A figure, nothing more.
    uptime_seconds: float | None = Field(default=None, ge=0, le=86_400)


class SkillFile(WireModel):
    """One file of a skill; `path` is relative to the skill's folder."""

    path: str
    content: str


class Skill(WireModel):
    """A skill to write as `skills/<name>/`."""

    name: str
    files: tuple[SkillFile, ...]


class Welcome(WireModel):
    """Everything the runner needs to begin."""

    protocol: int
    run: str
    conversation: int
    agent_session_id: str | None
    model: str | None
    args: tuple[str, ...] = ()
    process_mode: str
    instructions: str = ""
    skills: tuple[Skill, ...] = ()
    # The run is to end already (an export alone): no agent is started ahead.
    drained: bool = False


class TurnFile(WireModel):
    """A file that came with a message. `name` is the sender's word, `size` in bytes if it is known."""

    id: str
    name: str
    size: int | None = None
    kind: str = "document"


class TurnMessage(WireModel):
    """One message of a turn. `files` are paths in the workspace, `attachments` are to be fetched."""

    id: str
    text: str
    files: tuple[str, ...] = ()
    attachments: tuple[TurnFile, ...] = ()


class TurnOrder(WireModel):
    """Do this turn. A runner that already has the turn ignores it."""

    turn: str
    attempt: int
    conversation: int
    messages: tuple[TurnMessage, ...]
    remaining_seconds: float


class CancelOrder(WireModel):
    """Stop that turn, if it is the one that runs."""

    turn: str


class ExportOrder(WireModel):
    """Send the workspace as a tar to the gateway at `address`. A runner that has the order ignores it."""

    export: str
    address: str


class DrainOrder(WireModel):
    """Say bye and exit once no turn runs."""


class EventKind(StrEnum):
    DELTA = "delta"
    TOOL = "tool"
    USAGE = "usage"
    STATE = "state"


class TurnEvent(WireModel):
    """Something that happened in a turn.

    `data` by kind: delta `{text}`; tool `{name, summary}`; usage `{...}`; state `{agentSessionID}`
    or `{note}`.
    """

    seq: int = Field(ge=0)
    kind: EventKind
    data: dict[str, Any]


class EventBatch(WireModel):
    """Events of one turn in order."""

    events: tuple[TurnEvent, ...] = Field(max_length=256)


class ResultError(WireModel):
    """Why a turn did not succeed."""

    code: str = Field(max_length=64)
    message: str = Field(max_length=4096)


class NewFile(WireModel):
    """A file for the person who is answered: its place among the turn's files, its name, its bytes."""

    number: int = Field(ge=0, lt=FILES_OUT_PER_TURN)
    name: str = Field(min_length=1, max_length=255)
    size: int = Field(ge=1, le=FILE_OUT_LIMIT_BYTES)


class FileGrant(WireModel):
    """`upload` goes into the path of the bytes; a later grant of the same number ends it."""

    upload: str


Outcome = Literal["Succeeded", "Failed", "TimedOut", "Cancelled", "ModelError"]


class TurnResult(WireModel):
    """How a turn ended, in the runner's words."""

    outcome: Outcome
    text: str
    agent_session_id: str | None = Field(default=None, max_length=256)
    error: ResultError | None = None
    # Numbers of the turn's files that go out with the answer, in this order.
    files: tuple[int, ...] = Field(default=(), max_length=FILES_OUT_PER_TURN)


class ResultReceipt(WireModel):
    """`committed` is false for a turn that had been committed before."""

    committed: bool


class ByeReceipt(WireModel):
    """`reopened` is true when a message came meanwhile: the runner stays and reads the stream on."""

    reopened: bool
