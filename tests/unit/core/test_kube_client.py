"""Calls and watches against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agentsession_core.kube import (
    CORE,
    MERGE_PATCH,
    OWN,
    ApiClient,
    ApiError,
    ApiRequest,
    collection_path,
    object_path,
)
from agentsession_core.kube_access import Access

PODS = "/api/v1/namespaces/agents/pods"
Answer = Callable[[web.Request], Any]


@asynccontextmanager
async def client(answer: Answer, told: list[ApiRequest], *, token: str) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(read_bufsize=2**21) as session:
        access = Access(str(server.make_url("")).rstrip("/"), None, partial(str, token))
        yield ApiClient(access, session, told.append)


async def test_what_is_sent() -> None:
    seen: list[tuple[str, str, dict[str, str | None], Any]] = []

    async def answer(request: web.Request) -> web.Response:
        names = ("Authorization", "Content-Type", "Accept")
        headers = {name: request.headers.get(name) for name in names}
        body = await request.text()
        seen.append((request.method, request.path_qs, headers, body and json.loads(body)))
        return web.json_response({"kind": "Pod"}, status=201)

    async with client(answer, [], token="t") as api:
        await api.call("GET", PODS, query={"labelSelector": "a=b,c"}, timeout_seconds=5)
        await api.call(
            "PATCH", f"{PODS}/x", {"spec": None}, content_type=MERGE_PATCH, timeout_seconds=5
        )
    async with client(answer, [], token="") as api:
        assert await api.call("GET", "/version", timeout_seconds=5) == {"kind": "Pod"}

    read = {"Authorization": "Bearer t", "Content-Type": None, "Accept": "application/json"}
    assert seen == [
        ("GET", f"{PODS}?labelSelector=a%3Db,c", read, ""),
        ("PATCH", f"{PODS}/x", {**read, "Content-Type": MERGE_PATCH}, {"spec": None}),
        ("GET", "/version", {**read, "Authorization": None}, ""),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"kind": "Status", "message": "exceeded quota"}', "exceeded quota"),
        ("upstream is away", "upstream is away"),
        ("[]", "[]"),
        ("", "Too Many Requests"),
    ],
)
async def test_a_refusal(body: str, message: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=429, text=body, headers={"Retry-After": "3"})

    told: list[ApiRequest] = []
    async with client(answer, told, token="t") as api:
        with pytest.raises(ApiError) as error:
            await api.call("POST", PODS, {}, timeout_seconds=5)
    assert (error.value.status, error.value.message) == (429, message)
    assert error.value.headers["retry-after"] == "3"
    assert str(error.value) == "HTTP 429 Too Many Requests"
    assert [(one.verb, one.resource, one.result) for one in told] == [
        ("create", "pods", "throttled")
    ]


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    told: list[ApiRequest] = []
    async with client(answer, told, token="t") as api:
        with pytest.raises(ApiError):
            await api.call("GET", PODS, timeout_seconds=5)
    assert len(told) == 1


async def test_a_connection_that_is_closed() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    told: list[ApiRequest] = []
    async with client(answer, told, token="t") as api:
        with pytest.raises(aiohttp.ClientError):
            await api.call("GET", PODS, timeout_seconds=5)
    assert [one.result for one in told] == ["unanswered"]


async def test_no_answer_in_time() -> None:
    told: list[ApiRequest] = []
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async with client(answer, told, token="t") as api:
        with pytest.raises(TimeoutError):
            await api.call("GET", PODS, timeout_seconds=0.05)
        over.set()
    assert [one.result for one in told] == ["unanswered"]


async def test_a_watch_reads_lines_as_long_as_objects_are() -> None:
    long = {"type": "ADDED", "object": {"data": "x" * 1_500_000}}
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        response = web.StreamResponse()
        await response.prepare(request)
        for event in (long, {"type": "ERROR", "object": {"code": 410}}):
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    told: list[ApiRequest] = []
    async with client(answer, told, token="t") as api:
        events = [event async for event in api.watch(PODS, "7", seconds=9, query={"limit": "1"})]
    assert events == [long, {"type": "ERROR", "object": {"code": 410}}]
    assert asked == [f"{PODS}?limit=1&watch=true&resourceVersion=7&timeoutSeconds=9"]
    assert [one.result for one in told] == ["ok"]


async def test_a_watch_that_is_refused() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"message": "too old"}, status=410)

    async with client(answer, [], token="t") as api:
        with pytest.raises(ApiError, match="410"):
            _ = [event async for event in api.watch(PODS, "7", seconds=9)]


def test_a_path_is_never_left_by_a_name() -> None:
    assert collection_path(CORE, "agents", "pods") == PODS
    assert object_path(CORE, "agents", "pods", "../secrets/x") == f"{PODS}/..%2Fsecrets%2Fx"
    assert object_path(CORE, "agents", "pods", "") == f"{PODS}/"
    assert collection_path(OWN, "a/b", "x") == "/apis/agentsession.dev/v1alpha1/namespaces/a%2Fb/x"
