"""The operator's memory of the cluster, fed by watch events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from agentsession_core.api import AgentSession, AgentSessionTemplate
from agentsession_operator.model import Body, Children, ClaimView, JobView, Key, PodView
from agentsession_operator.packed import PackedSession, PackedSessions, pack

V = TypeVar("V")


class Shelf(Generic[V]):
    """Objects of one kind by the session they belong to, then by name."""

    def __init__(self) -> None:
        self._by_session: dict[Key, dict[str, V]] = {}

    def put(self, key: Key, name: str, view: V) -> None:
        self._by_session.setdefault(key, {})[name] = view

    def update(self, key: Key, name: str, view: V) -> bool:
        """Puts it; True if it was not there like this."""
        if self._by_session.get(key, {}).get(name) == view:
            return False
        self.put(key, name, view)
        return True

    def drop(self, key: Key, name: str) -> None:
        views = self._by_session.get(key)
        if views is not None:
            views.pop(name, None)
            if not views:
                del self._by_session[key]

    def of(self, key: Key) -> tuple[V, ...]:
        return tuple(self._by_session.get(key, {}).values())

    def names(self, key: Key) -> tuple[str, ...]:
        return tuple(self._by_session.get(key, ()))

    def keys(self) -> Iterable[Key]:
        return self._by_session.keys()

    def items(self) -> Iterator[tuple[Key, V]]:
        """Every object with its session. Only to be read at once."""
        for key, views in self._by_session.items():
            for view in views.values():
                yield key, view


class Cache:
    """Sessions, templates and children as last seen."""

    def __init__(self) -> None:
        self._sessions: dict[Key, PackedSession] = {}
        self._templates: dict[Key, AgentSessionTemplate] = {}
        self._mailboxes: dict[str, set[Key]] = {}
        self._gone: dict[str, dict[str, Key]] = {}
        self.jobs: Shelf[JobView] = Shelf()
        self.pods: Shelf[PodView] = Shelf()
        self.claims: Shelf[ClaimView] = Shelf()

    def session(self, key: Key) -> AgentSession | None:
        packed = self._sessions.get(key)
        return packed.unpack() if packed else None

    def sessions(self) -> PackedSessions:
        """All sessions as they are now; walking over them unpacks each, so do it seldom."""
        return PackedSessions(self._sessions)

    def index(self) -> Mapping[Key, PackedSession]:
        """All sessions, for what is known without unpacking them. Only to be read at once."""
        return self._sessions

    def put_session(self, key: Key, session: AgentSession, body: Body | None = None) -> None:
        """Remembers the session; an older one of the same name is remembered as gone.

        `body` is what the session was read from, where that is at hand: it saves time.
        """
        known = self._sessions.get(key)
        if known is not None and known.uid != session.metadata.uid:
            self.drop_session(key)
        self._sessions[key] = pack(session, body)
        self._mailboxes.setdefault(session.mailbox, set()).add(key)

    def drop_session(self, key: Key) -> None:
        """Forgets the session but for what its clean-up needs (`gone`)."""
        session = self._sessions.pop(key, None)
        if session is None:
            return
        self._gone.setdefault(session.mailbox, {})[session.uid] = key
        holders = self._mailboxes.get(session.mailbox, set())
        holders.discard(key)
        if not holders:
            self._mailboxes.pop(session.mailbox, None)

    def gone(self, key: Key, mailbox: str | None) -> list[tuple[str, str]]:
        """(mailbox, uid) of deleted sessions that had this name or this mailbox.

        They stay here until `forget_gone`: whoever takes the mailbox over has to wait for its
        clean-up, or it would answer with what its predecessor left.
        """
        return [
            (box, uid)
            for box, sessions in self._gone.items()
            for uid, gone_key in sessions.items()
            if box == mailbox or gone_key == key
        ]

    def forget_gone(self, mailbox: str, uid: str) -> None:
        """The deleted session's mailbox has been cleaned up."""
        sessions = self._gone.get(mailbox, {})
        sessions.pop(uid, None)
        if not sessions:
            self._gone.pop(mailbox, None)

    def sessions_of_mailbox(self, mailbox: str) -> tuple[Key, ...]:
        return tuple(self._mailboxes.get(mailbox, ()))

    def mailbox_holder(self, mailbox: str) -> Key | None:
        """One mailbox, one session: the oldest, then the one with the smaller uid."""

        def age(key: Key) -> tuple[float, str]:
            session = self._sessions[key]
            return (session.created, session.uid)

        return min(self._mailboxes.get(mailbox, ()), key=age, default=None)

    def template(self, key: Key) -> AgentSessionTemplate | None:
        return self._templates.get(key)

    def templates(self) -> dict[Key, AgentSessionTemplate]:
        return dict(self._templates)

    def put_template(self, key: Key, template: AgentSessionTemplate) -> None:
        self._templates[key] = template

    def drop_template(self, key: Key) -> None:
        self._templates.pop(key, None)

    def sessions_of_template(self, key: Key) -> list[Key]:
        """The sessions whose template this is, by name or by default."""
        return [
            session_key
            for session_key, session in self._sessions.items()
            if session_key.namespace == key.namespace and session.template == key.name
        ]

    def children(self, key: Key) -> Children:
        claims = self.claims.of(key)
        return Children(self.jobs.of(key), self.pods.of(key), claims[0] if claims else None)
