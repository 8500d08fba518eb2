"""Which session holds a mailbox, as far as the watch has told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentsession_core import naming
from agentsession_core.api.values import Phase
from agentsession_core.settings import Route


@dataclass(frozen=True)
class HeldMailbox:
    """The session that holds a mailbox: the oldest one that names it.

    `problem`: why it is not ready, in the operator's words; `expires_at` as status has it;
    `route`: the kind of agent that the bridge gave it, "" if another made the session.
    """

    namespace: str
    name: str
    uid: str
    user: str
    created_at: str
    phase: str
    problem: str = ""
    queue_position: int | None = None
    expires_at: str = ""
    route: str = ""

    @property
    def is_awake(self) -> bool:
        """Whether a run is there that reads the mailbox itself."""
        return self.phase in (Phase.IDLE, Phase.WORKING)


class SessionIndex:
    """All sessions by mailbox, kept by a watch on each namespace."""

    def __init__(self, changed: Callable[[str], None] = lambda _: None) -> None:
        self._changed = changed
        self._mailboxes: dict[str, dict[str, HeldMailbox]] = {}
        self._boxes: dict[str, str] = {}

    def holder(self, mailbox: str) -> HeldMailbox | None:
        """The oldest session of a mailbox: by creationTimestamp, then uid."""
        found = self._mailboxes.get(mailbox, {}).values()
        return min(found, key=lambda held: (held.created_at, held.uid), default=None)

    def put(self, raw: Mapping[str, Any]) -> None:
        """Remember a session as the API server shows it."""
        uid = raw["metadata"]["uid"]
        self.remove(uid)
        if raw["metadata"].get("deletionTimestamp"):
            return
        mailbox = raw["spec"].get("mailbox") or raw["spec"]["user"]["id"]
        self._boxes[uid] = mailbox
        self._mailboxes.setdefault(mailbox, {})[uid] = _held(raw)
        self._changed(mailbox)

    def remove(self, uid: str) -> None:
        """Forget a session."""
        mailbox = self._boxes.pop(uid, None)
        if mailbox is not None:
            del self._mailboxes[mailbox][uid]
            if not self._mailboxes[mailbox]:
                del self._mailboxes[mailbox]

    def keep_only(self, namespace: str, uids: frozenset[str]) -> None:
        """Forget the namespace's sessions that a new list does not name."""
        for uid, mailbox in list(self._boxes.items()):
            if self._mailboxes[mailbox][uid].namespace == namespace and uid not in uids:
                self.remove(uid)


def _held(raw: Mapping[str, Any]) -> HeldMailbox:
    metadata, status = raw["metadata"], raw.get("status") or {}
    conditions: dict[str, Any] = {one["type"]: one for one in status.get("conditions") or ()}
    ready = conditions.get("Ready", {})
    return HeldMailbox(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        user=raw["spec"]["user"]["id"],
        created_at=metadata["creationTimestamp"],
        phase=status.get("phase", ""),
        problem=ready.get("message", "") if ready.get("status") == "False" else "",
        queue_position=status.get("queuePosition"),
        expires_at=status.get("expirationTime", ""),
        route=_route(metadata.get("labels") or {}),
    )


def _route(labels: Mapping[str, str]) -> str:
    found = labels.get(naming.LABEL_ROUTE, "")
    # Anybody may write a label: what is no route of ours must not become a metric's.
    return found if found in set(Route) else ""
