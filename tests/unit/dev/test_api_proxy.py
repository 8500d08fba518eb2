"""The proxy in front of an API server: what it passes on, and what it does to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from agentsession_dev.api_proxy.app import ApiProxy
from agentsession_dev.api_proxy.faults import Fault, FaultBook
from agentsession_testing.serving import plain_client, plain_server, serving

PODS = "/api/v1/namespaces/agents/pods"


async def pods(request: Request) -> JSONResponse | StreamingResponse:
    """An API server in two answers: an echo, and a watch of one event that stays open."""
    if "watch" in request.query_params:

        async def events() -> AsyncIterator[bytes]:
            yield b'{"type": "ADDED"}\n'
            await asyncio.Event().wait()

        return StreamingResponse(events())
    seen = [request.method, request.headers.get("authorization"), request.url.query]
    return JSONResponse([*seen, (await request.body()).decode()], 201)


@pytest.fixture
async def proxy() -> AsyncIterator[ApiProxy]:
    app = Starlette(routes=[Route(PODS, pods, methods=["GET", "POST"])])
    async with serving(plain_server(app)) as upstream:
        proxy = ApiProxy(upstream, FaultBook())
        yield proxy
        await proxy.close()


@pytest.fixture
async def client(proxy: ApiProxy) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(plain_server(proxy)) as url, plain_client(base_url=url) as client:
        yield client


async def test_a_request_is_passed_on_as_it_is(client: httpx.AsyncClient, proxy: ApiProxy) -> None:
    answer = await client.post(
        f"{PODS}?limit=5&labelSelector=a%3Db", content="{}", headers={"authorization": "Bearer x"}
    )
    assert (answer.status_code, answer.json()) == (
        201,
        ["POST", "Bearer x", "limit=5&labelSelector=a%3Db", "{}"],
    )
    assert [(seen.method, seen.path, seen.status) for seen in proxy.seen] == [("POST", PODS, 201)]


async def test_a_fault_hits_what_fits_and_as_often_as_it_says(
    client: httpx.AsyncClient, proxy: ApiProxy
) -> None:
    proxy.faults.add(Fault(method="GET", path="pods$", status=429, retry_after=3, count=2))
    answers = [await client.get(PODS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["retry-after"] == "3"
    assert answers[0].json()["reason"] == "TooManyRequests"
    assert proxy.faults.hits == {"429": 2}


async def test_a_lost_answer_is_of_a_request_that_was_carried_out(
    client: httpx.AsyncClient, proxy: ApiProxy
) -> None:
    proxy.faults.add(Fault(effect="lost", method="POST", status=504, count=1))
    assert (await client.post(PODS)).status_code == 504
    assert (await client.post(PODS)).status_code == 201


async def test_faults_by_the_control_routes(client: httpx.AsyncClient) -> None:
    posted = await client.post("/_control/faults", json={"status": 503, "share": 0.5})
    assert posted.status_code == 204
    statuses = {(await client.get(PODS)).status_code for _ in range(20)}
    assert statuses == {201, 503}
    assert set((await client.get("/_control/faults")).json()) == {"503"}
    await client.delete("/_control/faults")
    assert {(await client.get(PODS)).status_code for _ in range(20)} == {201}
    assert (await client.get("/_control/what")).status_code == 404


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_open_watches_are_cut_or_fall_silent(client: httpx.AsyncClient, how: str) -> None:
    async with client.stream("GET", PODS, params={"watch": "true"}) as watch:
        chunks = watch.aiter_raw()
        assert await anext(chunks) == b'{"type": "ADDED"}\n'
        ended = (await client.post(f"/_control/{how}")).json()
        assert ended == {"watches": 1}
        if how == "cut":
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(chunks), 0.2)


async def test_an_upstream_that_is_away_is_503(client: httpx.AsyncClient) -> None:
    proxy = ApiProxy("http://127.0.0.1:9", FaultBook())
    async with serving(plain_server(proxy)) as url, plain_client(base_url=url) as other:
        assert (await other.get(PODS)).status_code == 503
    await proxy.close()
