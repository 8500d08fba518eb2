"""kopf's handlers: remember, and have the session looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from pydantic import ValidationError

from agentsession_core.api import AgentSession, AgentSessionTemplate
from agentsession_operator.cache import Cache, Shelf
from agentsession_operator.model import Body, Key, claim_view, job_view, pod_view, session_key
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
V = TypeVar("V")


class Handlers:
    """What each kind's events mean to the cache and the queue."""

    def __init__(self, cache: Cache, queue: WorkQueue) -> None:
        self._cache = cache
        self._queue = queue
        self._told: set[str] = set()

    @contextmanager
    def listening(self) -> Iterator[set[str]]:
        """The uids that are handled while the block runs. One block at a time."""
        self._told = set()
        yield self._told
        self._told = set()

    def session(self, body: Body, *, deleted: bool) -> None:
        """An AgentSession appeared, changed or went."""
        key = self._own_key(body)
        if deleted:
            self.forget_session(key)
            return
        known = self._cache.index().get(key)
        metadata = body["metadata"]
        if known and (known.uid, known.version) == (metadata["uid"], metadata["resourceVersion"]):
            # A list shows thousands that have not changed.
            return
        try:
            self._cache.put_session(key, AgentSession.from_api(body), body)
        except ValidationError as error:
            log.error(
                "session not understood",
                session=key.name,
                namespace=key.namespace,
                error=str(error),
            )
            return
        self._queue.add(key)

    def forget_session(self, key: Key) -> None:
        """A session is gone: it is cleaned up, and whoever waited for its mailbox may have it."""
        session = self._cache.index().get(key)
        self._cache.drop_session(key)
        self._queue.add(key)
        for heir in self._cache.sessions_of_mailbox(session.mailbox) if session else ():
            self._queue.add(heir)

    def template(self, body: Body, *, deleted: bool) -> None:
        """A template appeared, changed or went: its sessions are looked at."""
        key = self._own_key(body)
        if deleted:
            self.forget_template(key)
            return
        try:
            template = AgentSessionTemplate.from_api(body)
        except ValidationError as error:
            log.error("template not understood", template=str(key), error=str(error))
            return
        if template == self._cache.template(key):
            # Every comparison lists it, and ten thousand sessions may use it.
            return
        self._cache.put_template(key, template)
        self._look_at_users_of(key)

    def forget_template(self, key: Key) -> None:
        """A template is gone: its sessions are looked at."""
        self._cache.drop_template(key)
        self._look_at_users_of(key)

    def _look_at_users_of(self, key: Key) -> None:
        for session in self._cache.sessions_of_template(key):
            self._queue.add(session)

    def job(self, body: Body, *, deleted: bool) -> None:
        self._child(self._cache.jobs, job_view, body, deleted)

    def pod(self, body: Body, *, deleted: bool) -> None:
        self._child(self._cache.pods, pod_view, body, deleted)

    def claim(self, body: Body, *, deleted: bool) -> None:
        self._child(self._cache.claims, claim_view, body, deleted)

    def _child(self, shelf: Shelf[V], view: Callable[[Body], V], body: Body, deleted: bool) -> None:
        self._told.add(body["metadata"]["uid"])
        key = session_key(body)
        if key is None:
            return
        name = body["metadata"]["name"]
        if deleted:
            shelf.drop(key, name)
        else:
            seen = view(body)
            if seen in shelf.of(key):
                return
            shelf.put(key, name, seen)
        self._queue.add(key)

    def _own_key(self, body: Body) -> Key:
        self._told.add(body["metadata"]["uid"])
        return Key(body["metadata"]["namespace"], body["metadata"]["name"])
