"""Sessions as the operator keeps them: a thousand bytes instead of sixteen thousand.

Almost all sessions sleep almost always. What is asked of all of them at once is at hand, the rest is
unpacked when one of them is looked at.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from agentsession_core import naming
from agentsession_core.api import AgentSession, ConditionType, Phase, Reason
from agentsession_operator.model import Body, Key

_FASTEST: Final = 1
# As large as a third of the object, and nobody's concern here.
_LEFT_OUT: Final = "managedFields"


@dataclass(frozen=True, slots=True)
class PackedSession:
    """A session. Times in seconds since the epoch; `template` is its template's name.

    `reason` is that of its Ready condition. `at_rest`: by its own status it is suspended, and nobody
    has changed it since. `expires`: when it then ends.
    """

    uid: str
    version: str
    mailbox: str
    user: str
    created: float
    template: str
    phase: Phase | None
    reason: Reason | None
    at_rest: bool
    expires: float | None
    data: bytes

    def unpack(self) -> AgentSession:
        """The whole session."""
        return AgentSession.from_api(json.loads(zlib.decompress(self.data)))


def pack(session: AgentSession, body: Body | None = None) -> PackedSession:
    """Packs a session; `body` is what it was read from, where that is at hand."""
    metadata, reference, status = session.metadata, session.spec.template_ref, session.status
    content = dict(body) if body is not None else session.to_api()
    content["metadata"] = {k: v for k, v in content["metadata"].items() if k != _LEFT_OUT}
    text = json.dumps(content, separators=(",", ":"), default=str)
    return PackedSession(
        uid=metadata.uid,
        version=metadata.resource_version,
        mailbox=session.mailbox,
        user=session.spec.user.id,
        created=metadata.creation_timestamp.timestamp() if metadata.creation_timestamp else 0.0,
        template=reference.name if reference else naming.DEFAULT_TEMPLATE,
        phase=status.phase,
        reason=next(
            (c.reason for c in status.conditions or () if c.type is ConditionType.READY), None
        ),
        at_rest=status.phase is Phase.SUSPENDED
        and status.observed_generation == metadata.generation
        and metadata.deletion_timestamp is None,
        expires=status.expiration_time.timestamp() if status.expiration_time else None,
        data=zlib.compress(text.encode(), _FASTEST),
    )


class PackedSessions(Mapping[Key, AgentSession]):
    """Packed sessions to walk through: each is unpacked when its turn comes, keys cost nothing."""

    def __init__(self, packed: Mapping[Key, PackedSession]) -> None:
        self._packed = dict(packed)

    def __getitem__(self, key: Key) -> AgentSession:
        return self._packed[key].unpack()

    def __iter__(self) -> Iterator[Key]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, key: object) -> bool:
        # Mapping's own would unpack the session to say that it is there.
        return key in self._packed
