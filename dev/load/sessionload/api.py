"""The API server as load needs it: plain JSON, many calls at once, watches that begin with a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import aiohttp

from agentsession_core import naming
from agentsession_core.kube import (
    BATCH,
    CORE,
    JSON,
    MERGE_PATCH,
    OWN,
    ApiClient,
    collection_path,
    object_path,
)
from agentsession_core.kube import ApiError as Refusal

Body = dict[str, Any]
PAGE = 500
WATCH_SECONDS = 3600
CALL_SECONDS = 60.0
AGAIN_SECONDS = 0.5
# No second try makes these answers better.
REFUSALS = frozenset({400, 401, 403, 404})


class ApiError(Exception):
    """The API server refused or did not answer; `status` is 0 where there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message[:300]}")
        self.status = status


@dataclass(frozen=True)
class Change:
    """One event of a watch; `kind` is ADDED, MODIFIED or DELETED."""

    kind: str
    body: Body


class Api:
    """Calls by path. Every call raises ApiError."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Body:
        """An object or one page of a list."""
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Body) -> Body:
        """Makes an object and answers it."""
        return await self._call("POST", path, body)

    async def patch(self, path: str, body: Body, kind: str = MERGE_PATCH) -> Body:
        """Changes an object and answers it."""
        return await self._call("PATCH", path, body, content_type=kind)

    async def delete(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """Deletes an object or, with a selector, many."""
        await self._call("DELETE", path, {"propagationPolicy": "Background"}, query=query)

    async def list(self, path: str, selector: str = "") -> AsyncIterator[Body]:
        """Every object, page by page."""
        query = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            page = await self.get(path, query)
            for body in page.get("items", ()):
                yield body
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token

    async def watch(self, path: str, selector: str = "") -> AsyncIterator[Change]:
        """All objects that are there as ADDED, then every change, for ever.

        A watch that ends begins again; what the cut hid comes as ADDED once more, deletions do not.
        """
        labels = {"labelSelector": selector} if selector else {}
        while True:
            try:
                async for change in self._watch_once(path, labels):
                    yield change
            except ApiError as error:
                # A cache that is still being filled answers 429, one that is gone 410 or not at all.
                if error.status in REFUSALS:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)

    async def _watch_once(self, path: str, labels: Mapping[str, str]) -> AsyncIterator[Change]:
        listed = await self.get(path, {**labels, "resourceVersion": "0"})
        for body in listed.get("items", ()):
            yield Change("ADDED", body)
        async for change in self._changes(path, listed["metadata"]["resourceVersion"], labels):
            yield change

    async def _changes(
        self, path: str, version: str, labels: Mapping[str, str]
    ) -> AsyncIterator[Change]:
        changes = self._client.watch(path, version, seconds=WATCH_SECONDS, query=labels)
        async with aclosing(changes) as events:
            try:
                async for event in events:
                    if event["type"] == "ERROR":
                        return
                    yield Change(event["type"], event["object"])
            except Refusal as error:
                raise ApiError(error.status, f"watch {path}: {error.message}") from error
            except (aiohttp.ClientError, OSError, TimeoutError):
                return

    async def _call(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Body:
        try:
            return await self._client.call(
                method,
                path,
                body,
                query=query,
                content_type=content_type,
                timeout_seconds=CALL_SECONDS,
            )
        except Refusal as error:
            raise ApiError(error.status, f"{method} {path}: {error.message}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, f"{method} {path}: {type(error).__name__}") from error


def sessions_path(namespace: str, name: str = "") -> str:
    """Path of a namespace's AgentSessions, or of one."""
    return _path(OWN, namespace, naming.SESSION_PLURAL, name)


def core_path(namespace: str, plural: str, name: str = "") -> str:
    """Path of a namespace's objects of the core group, or of one."""
    return _path(CORE, namespace, plural, name)


def jobs_path(namespace: str, name: str = "") -> str:
    """Path of a namespace's Jobs, or of one."""
    return _path(BATCH, namespace, "jobs", name)


def _path(group: str, namespace: str, plural: str, name: str) -> str:
    if name:
        return object_path(group, namespace, plural, name)
    return collection_path(group, namespace, plural)
