"""AgentSessions as the bridge needs them: which one holds a mailbox, make one, wake one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import structlog

from agentsession_bridge.session_index import HeldMailbox, SessionIndex
from agentsession_core import naming
from agentsession_core.kube import (
    APPLY_PATCH,
    JSON,
    OWN,
    ApiClient,
    ApiError,
    collection_path,
    object_path,
)

log = structlog.get_logger(__name__)

FIELD_MANAGER: Final = "agentsession-bridge"
REQUEST_TIMEOUT_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 300
LIST_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 1.0
PAGE: Final = 500
REASON_CHARACTERS: Final = 300


class SessionRefusedError(Exception):
    """The API server refuses the session; the message is for the person."""


class ClusterUnavailableError(Exception):
    """The API server does not answer; what was asked for may be tried again."""


@dataclass(frozen=True)
class NewSession:
    """A session to be made; `template` is empty for the namespace's default."""

    name: str
    user: str
    mailbox: str
    display_name: str
    route: str
    template: str


class Sessions:
    """The API server's AgentSessions in the namespaces of this release."""

    def __init__(self, api: ApiClient, namespaces: tuple[str, ...], index: SessionIndex) -> None:
        self._api = api
        self._namespaces = namespaces
        self.index = index
        self._listed = {namespace: asyncio.Event() for namespace in namespaces}

    async def follow(self) -> None:
        """Keep the index until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for namespace in self._namespaces:
                tasks.create_task(self._follow(namespace))

    async def listed(self) -> None:
        """Return once every namespace was listed: before it nobody knows who holds what."""
        for event in self._listed.values():
            await event.wait()

    async def create(self, session: NewSession) -> bool:
        """Make a session; False for one of that name that is there already, which is fine.

        Raises:
            SessionRefusedError: quota, admission, or rights.
            ClusterUnavailableError: no answer.
        """
        namespace = self._namespaces[0]
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {
                "name": session.name,
                "labels": {naming.LABEL_USER: session.user, naming.LABEL_ROUTE: session.route},
            },
            "spec": {
                "user": {"id": session.user, "displayName": session.display_name[:256]},
                "mailbox": session.mailbox,
                **({"templateRef": {"name": session.template}} if session.template else {}),
            },
        }
        try:
            await self._call("POST", _path(namespace), body, JSON)
        except ApiError as error:
            if error.status != 409:
                raise _meaning(error) from None
            return False
        return True

    async def wake(self, held: HeldMailbox, message_id: str, at: float) -> None:
        """Say by server-side apply that a message waits: exactly user.id and inbox.

        Raises:
            SessionRefusedError, ClusterUnavailableError: as `create`.
        """
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": naming.API_VERSION,
            "kind": naming.SESSION_KIND,
            "metadata": {"name": held.name},
            "spec": {
                "user": {"id": held.user},
                "inbox": {"lastMessageID": message_id, "lastMessageTime": time},
            },
        }
        path = object_path(OWN, held.namespace, naming.SESSION_PLURAL, held.name)
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        try:
            await self._call("PATCH", path + query, body, APPLY_PATCH)
        except ApiError as error:
            if error.status != 404:
                raise _meaning(error) from None

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any], content_type: str
    ) -> None:
        try:
            await self._api.call(
                method,
                path,
                body,
                content_type=content_type,
                timeout_seconds=REQUEST_TIMEOUT_SECONDS,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ClusterUnavailableError(type(error).__name__) from None

    async def _follow(self, namespace: str) -> None:
        while True:
            try:
                version: str | None = await self._list(namespace)
                self._listed[namespace].set()
                while version is not None:
                    version = await self._watch(namespace, version)
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning(
                    "sessions not followed", namespace=namespace, error=type(error).__name__
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, namespace: str) -> str:
        uids: set[str] = set()
        more: str | None = None
        while True:
            page = await self._api.call(
                "GET",
                _path(namespace),
                query={"limit": str(PAGE), **({"continue": more} if more else {})},
                timeout_seconds=LIST_SECONDS,
            )
            for item in page["items"]:
                self.index.put(item)
                uids.add(item["metadata"]["uid"])
            more = page["metadata"].get("continue")
            if not more:
                self.index.keep_only(namespace, frozenset(uids))
                return str(page["metadata"]["resourceVersion"])

    async def _watch(self, namespace: str, version: str) -> str | None:
        """Follow changes from a version on; return where to go on, None to read the list again."""
        changes = self._api.watch(_path(namespace), version, seconds=WATCH_SECONDS)
        async with aclosing(changes) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    return None
                found = event["object"]
                version = found["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self.index.remove(found["metadata"]["uid"])
                else:
                    self.index.put(found)
        return version


def _path(namespace: str) -> str:
    return collection_path(OWN, namespace, naming.SESSION_PLURAL)


def _meaning(error: ApiError) -> Exception:
    if 400 <= error.status < 500 and error.status != 429:
        return SessionRefusedError(error.message[:REASON_CHARACTERS])
    return ClusterUnavailableError(f"{error.status} {error.reason}")
