"""AgentSessions as the bridge needs them: which one holds a mailbox, make one, wake one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import structlog
from kubernetes_asyncio import watch
from kubernetes_asyncio.client import ApiClient, ApiException, CustomObjectsApi

from agentsession_core import kube, naming
from agentsession_core.api.values import Phase
from agentsession_core.settings import Route

log = structlog.get_logger(__name__)

FIELD_MANAGER: Final = "agentsession-bridge"
REQUEST_TIMEOUT_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 300
RETRY_SECONDS: Final = 1.0
PAGE: Final = 500
REASON_CHARACTERS: Final = 300


class SessionRefusedError(Exception):
    """The API server refuses the session; the message is for the person."""


class ClusterUnavailableError(Exception):
    """The API server does not answer; what was asked for may be tried again."""


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


@dataclass(frozen=True)
class NewSession:
    """A session to be made; `template` is empty for the namespace's default."""

    name: str
    user: str
    mailbox: str
    display_name: str
    route: str
    template: str


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


class Sessions:
    """The API server's AgentSessions in the namespaces of this release."""

    def __init__(self, api: ApiClient, namespaces: tuple[str, ...], index: SessionIndex) -> None:
        self._api = api
        # Any: the generated signatures know no `_continue`.
        self._objects: Any = CustomObjectsApi(api)
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
            await self._call("POST", _path(namespace), body, "application/json")
        except ApiException as error:
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
        path = f"{_path(held.namespace)}/{quote(held.name, safe='')}"
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        try:
            await self._call("PATCH", path + query, body, "application/apply-patch+yaml")
        except ApiException as error:
            if error.status != 404:
                raise _meaning(error) from None

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any], content_type: str
    ) -> None:
        try:
            await kube.request_json(
                self._api,
                method,
                path,
                body=body,
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
            except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning(
                    "sessions not followed", namespace=namespace, error=type(error).__name__
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, namespace: str) -> str:
        uids: set[str] = set()
        more: str | None = None
        while True:
            page = await self._objects.list_namespaced_custom_object(
                naming.GROUP, naming.VERSION, namespace, naming.SESSION_PLURAL, limit=PAGE,
                **({"_continue": more} if more else {}),
            )  # fmt: skip
            for item in page["items"]:
                self.index.put(item)
                uids.add(item["metadata"]["uid"])
            more = page["metadata"].get("continue")
            if not more:
                self.index.keep_only(namespace, frozenset(uids))
                return str(page["metadata"]["resourceVersion"])

    async def _watch(self, namespace: str, version: str) -> str | None:
        """Follow changes from a version on; return where to go on, None to read the list again."""
        async with watch.Watch() as stream:
            async for event in stream.stream(
                self._objects.list_namespaced_custom_object,
                naming.GROUP, naming.VERSION, namespace, naming.SESSION_PLURAL,
                resource_version=version, timeout_seconds=WATCH_SECONDS,
                _request_timeout=WATCH_SECONDS + 10,
            ):  # fmt: skip
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
    return (
        f"/apis/{naming.API_VERSION}/namespaces/{quote(namespace, safe='')}/{naming.SESSION_PLURAL}"
    )


def _meaning(error: ApiException) -> Exception:
    if error.status is not None and 400 <= error.status < 500 and error.status != 429:
        return SessionRefusedError(_words(error))
    return ClusterUnavailableError(f"{error.status} {error.reason}")


def _words(error: ApiException) -> str:
    """The API server's own words: a quota's or an admission's."""
    try:
        said = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        said = error.reason
    return str(said)[:REASON_CHARACTERS]
