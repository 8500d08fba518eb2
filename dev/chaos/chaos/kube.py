"""A small asynchronous client of the API server: JSON in, JSON out, tried again while it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

Body = dict[str, Any]
MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
RETRY_SECONDS: Final = 0.25
# No restart of the API server takes so long.
GIVE_UP_SECONDS: Final = 180.0
_PASSING: Final = frozenset({429, 500, 502, 503, 504})


class KubeError(Exception):
    """The API server said no; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status


class Kube:
    """Calls as an administrator. All but watches wait until the API server answers."""

    def __init__(self, url: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token}"},
            verify=False,  # noqa: S501 - a server of this run's own, on the loopback
            trust_env=False,
            timeout=httpx.Timeout(10, read=30),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, path: str, body: Body | None = None, content_type: str = JSON
    ) -> Body:
        """An answer's body. Raises KubeError for what another try would not change, and TimeoutError."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            return await self._call(method, path, body, content_type)

    async def _call(self, method: str, path: str, body: Body | None, content_type: str) -> Body:
        content = None if body is None else json.dumps(body)
        while True:
            try:
                answer = await self._client.request(
                    method, path, content=content, headers={"content-type": content_type}
                )
            except httpx.TransportError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status_code in _PASSING and "evict" not in path:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.is_success:
                found: Body = answer.json()
                return found
            raise KubeError(answer.status_code, answer.text[:500])

    async def get(self, path: str) -> Body:
        return await self.call("GET", path)

    async def merge(self, path: str, body: Body) -> Body:
        """A JSON merge patch."""
        return await self.call("PATCH", path, body, MERGE)

    async def apply(self, path: str, body: Body) -> Body:
        """Server-side apply."""
        return await self.call("PATCH", f"{path}?fieldManager=chaos&force=true", body, APPLY)

    async def delete(self, path: str, **options: Any) -> None:
        """One that is gone, or another of that name, is a success."""
        try:
            await self.call(
                "DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options}
            )
        except KubeError as error:
            if error.status not in (404, 409):
                raise

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Body]]:
        """(type, object) for ever: a list's objects as SYNC, then changes, and again after a cut.

        An object that went while the watch was cut is GONE at the next list (name and uid only).
        """
        known: dict[str, Body] = {}
        while True:
            listed = await self.get(path)
            present = {item["metadata"]["uid"]: item for item in listed["items"]}
            for uid in known.keys() - present.keys():
                yield "DELETED", known[uid]
            known = present
            for item in listed["items"]:
                yield "SYNC", item
            try:
                async for kind, body in self._watch(path, listed["metadata"]["resourceVersion"]):
                    if kind == "DELETED":
                        known.pop(body["metadata"]["uid"], None)
                    else:
                        known[body["metadata"]["uid"]] = body
                    yield kind, body
            except httpx.TransportError:
                pass
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Body]]:
        query = {"watch": "true", "resourceVersion": version}
        timeout = httpx.Timeout(10, read=None)
        async with self._client.stream("GET", path, params=query, timeout=timeout) as answer:
            if not answer.is_success:
                return
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["type"] in ("ERROR", "BOOKMARK"):
                    return
                yield event["type"], event["object"]
