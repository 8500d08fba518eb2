"""The proxy: passes requests and watches on, but for those that meet a fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agentsession_dev.api_proxy.faults import Fault, FaultBook

CONTROL: Final = "/_control/"
# Of one connection, or counted anew by the server here.
_OWN_HEADERS: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})


@dataclass(frozen=True)
class Seen:
    """A request: when its answer began (seconds of the monotonic clock), and what was asked.

    `by_fault` says that the status is the proxy's and not the API server's.
    """

    at: float
    method: str
    path: str
    status: int
    by_fault: bool


class _CutError(Exception):
    """Ends a streamed answer in the middle."""


class ApiProxy:
    """An ASGI application. Credentials are passed on: who asks is the API server's business."""

    def __init__(self, upstream: str, faults: FaultBook) -> None:
        # The upstream's certificate is its own: this stands on the same machine.
        self._client = httpx.AsyncClient(
            base_url=upstream,
            verify=False,  # noqa: S501
            timeout=httpx.Timeout(None, connect=5),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,
        )
        self.faults = faults
        self.seen: list[Seen] = []
        self._open: set[asyncio.Future[bool]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = self._control if request.url.path.startswith(CONTROL) else self._answer
        response = await answer(request)
        await response(scope, receive, send)

    def end_watches(self, *, cut: bool) -> int:
        """Cut the watches that are open now, or let them stay open without another byte."""
        ended = [order for order in self._open if not order.done()]
        for order in ended:
            order.set_result(cut)
        return len(ended)

    async def close(self) -> None:
        """Close the connections to the API server."""
        await self._client.aclose()

    async def _control(self, request: Request) -> Response:
        match request.method, request.url.path.removeprefix(CONTROL):
            case "POST", "faults":
                self.faults.add(Fault.model_validate_json(await request.body()))
                return Response(status_code=204)
            case "DELETE", "faults":
                self.faults.clear()
                return Response(status_code=204)
            case "GET", "faults":
                return JSONResponse(dict(self.faults.hits))
            case "POST", ("cut" | "silence") as how:
                return JSONResponse({"watches": self.end_watches(cut=how == "cut")})
        return Response("POST, GET, DELETE faults; POST cut; POST silence\n", 404)

    async def _answer(self, request: Request) -> Response:
        watches = request.query_params.get("watch") in ("1", "true")
        method, path = "WATCH" if watches else request.method, request.url.path
        fault = self.faults.take(method, path)
        if fault is not None and fault.effect == "silence":
            await _disconnect(request)
            return Response(status_code=204)
        if fault is None or fault.effect == "lost":
            response = await self._ask(request, watches=watches)
            if fault is None:
                self.seen.append(Seen(time.monotonic(), method, path, response.status_code, False))
                return response
        headers = {"retry-after": str(fault.retry_after)} if fault.retry_after is not None else {}
        self.seen.append(Seen(time.monotonic(), method, path, fault.status, True))
        return JSONResponse(fault.body(), fault.status, headers)

    async def _ask(self, request: Request, *, watches: bool) -> Response:
        asked = self._client.build_request(
            request.method,
            httpx.URL(path=request.url.path, query=request.url.query.encode()),
            headers=[(k, v) for k, v in request.headers.items() if k not in _OWN_HEADERS],
            content=await request.body(),
        )
        try:
            answer = await self._client.send(asked, stream=watches)
        except httpx.TransportError:
            return JSONResponse(Fault(status=503).body(), 503)
        headers = {k: v for k, v in answer.headers.items() if k not in _OWN_HEADERS}
        if not watches:
            # httpx has unpacked it.
            headers.pop("content-encoding", None)
            return Response(answer.content, answer.status_code, headers)
        return StreamingResponse(self._pass_on(answer), answer.status_code, headers)

    async def _pass_on(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        order: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._open.add(order)
        chunks = answer.aiter_raw()
        following: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(chunks, None))
                waited: set[asyncio.Future[Any]] = {following, order}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if order.done():
                    if order.result():
                        raise _CutError
                    await asyncio.Event().wait()
                chunk = following.result()
                if chunk is None:
                    return
                yield chunk
        except httpx.TransportError as error:
            raise _CutError from error
        finally:
            self._open.discard(order)
            if following is not None:
                following.cancel()
            await answer.aclose()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
