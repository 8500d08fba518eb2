"""The one place that opens connections to the API server: plain JSON over aiohttp (ADR 20)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp

from agentsession_core import naming
from agentsession_core.kube_access import Access, KubeConfigError, read_access

__all__ = ["ApiClient", "ApiError", "ApiRequest", "KubeConfigError", "connect", "describe"]

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
# API groups with their versions, as they stand in paths.
CORE: Final = "api/v1"
BATCH: Final = "apis/batch/v1"
OWN: Final = f"apis/{naming.API_VERSION}"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# A watch's line is a whole object: etcd takes up to 1.5 MiB.
_LINE_BYTES: Final = 2**21


class ApiError(Exception):
    """The API server refused or failed. `body` is its answer, which may hold what must not be logged."""

    def __init__(self, status: int, reason: str, body: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status
        self.reason = reason
        self.body = body
        self.headers = headers

    @property
    def message(self) -> str:
        """The API server's own words: a quota's, an admission's."""
        try:
            said = json.loads(self.body)["message"]
        except (ValueError, KeyError, TypeError):
            said = self.body or self.reason
        return str(said)


@dataclass(frozen=True)
class ApiRequest:
    """A request as it is counted: names of objects are left out.

    `result` is `ok`, a class of refusal (`refused`, `not_found`, `conflict`, `throttled`), `failed`
    for the API server's own errors, or `unanswered`.
    """

    verb: str
    resource: str
    result: str
    seconds: float


def collection_path(group: str, namespace: str, plural: str) -> str:
    """The path of a namespace's objects of one kind; `group` with its version, such as `api/v1`."""
    return f"/{group}/namespaces/{quote(namespace, safe='')}/{plural}"


def object_path(group: str, namespace: str, plural: str, name: str) -> str:
    """The path of one object; never, whatever its name, that of all of its kind."""
    return f"{collection_path(group, namespace, plural)}/{quote(name, safe='')}"


def describe(method: str, url: str, status: int | None, seconds: float) -> ApiRequest:
    """The request in Kubernetes' words: get, list, create, ...; resource with its subresource."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    rest = parts[2:] if parts[:1] == ["api"] else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource = rest[0] if parts[:1] in (["api"], ["apis"]) and rest else parts[0] if parts else ""
    resource += f"/{rest[2]}" if len(rest) > 2 else ""
    verb = _VERBS.get(method) or ("get" if len(rest) != 1 else "list")
    return ApiRequest(verb, resource, _result(status), seconds)


def _result(status: int | None) -> str:
    if not status:
        return "unanswered"
    if status < 400:
        return "ok"
    known = {404: "not_found", 409: "conflict", 429: "throttled"}
    return known.get(status, "refused" if status < 500 else "failed")


class ApiClient:
    """Calls by path. All raise ApiError, aiohttp.ClientError, OSError or TimeoutError."""

    def __init__(
        self, access: Access, session: aiohttp.ClientSession, tell: Callable[[ApiRequest], None]
    ) -> None:
        self._access = access
        self._session = session
        self._tell = tell

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """The API server's answer."""
        async with self._answer(method, path, body, timeout_seconds, query, content_type) as answer:
            found: dict[str, Any] = json.loads(await answer.read())
            return found

    async def watch(
        self,
        path: str,
        resource_version: str,
        *,
        seconds: int,
        query: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[dict[str, Any]]:
        """Changes from a version on, as they come (`type` and `object`), until the time is over.

        The last one may be of type ERROR: the version is too old, the list has to be read anew.
        """
        asked = {
            **(query or {}),
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        async with self._answer("GET", path, None, seconds + 10, asked, JSON) as answer:
            async for line in answer.content:
                yield json.loads(line)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        timeout_seconds: float,
        query: Mapping[str, str] | None,
        content_type: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": JSON}
        if token := self._access.token():
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
        began, status = time.monotonic(), None
        try:
            answer = await self._session.request(
                method,
                self._access.server + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                allow_redirects=False,
            )
            status = answer.status
        finally:
            self._tell(describe(method, path, status, time.monotonic() - began))
        async with answer:
            if status >= 300:
                text = await answer.text(errors="replace")
                raise ApiError(status, answer.reason or "", text, answer.headers)
            yield answer


@asynccontextmanager
async def connect(
    user_agent: str, on_request: Callable[[ApiRequest], None] = lambda _: None
) -> AsyncIterator[ApiClient]:
    """A client for the cluster KUBECONFIG names, else the one this process runs in.

    Raises KubeConfigError when there is neither. The service account's token is read anew each
    minute, so its rotation needs no restart. `on_request` is told of every request.
    """
    access = read_access(os.environ)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=access.tls if access.tls is not None else True),
        headers={"User-Agent": user_agent},
        read_bufsize=_LINE_BYTES,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield ApiClient(access, session, on_request)
