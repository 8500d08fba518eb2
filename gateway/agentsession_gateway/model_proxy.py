"""`/v1/model/anthropic/*`: the model API with the real key added and the tokens counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import httpx
from starlette.requests import Request
from starlette.responses import Response

from agentsession_core.effective import Effective
from agentsession_core.identity import Recognised
from agentsession_core.problems import ProblemError
from agentsession_core.run_access import require_current
from agentsession_core.streaming import OwnedStreamingResponse
from agentsession_gateway import access
from agentsession_gateway.allowlist import (
    MESSAGES,
    answer_headers,
    inspect_body,
    is_allowed,
    upstream_headers,
)
from agentsession_gateway.anthropic_errors import error_event, error_response
from agentsession_gateway.credentials import NoCredentialsError
from agentsession_gateway.deps import Deps
from agentsession_gateway.limits import BodyBudget, HeldBytes, Slots, read_body
from agentsession_gateway.model_call import CLIENT_GONE, Ledger, ModelCall
from agentsession_gateway.upstream_failure import (
    failure_of,
    failure_of_answer,
    retry_after_seconds,
    secrets_of,
)
from agentsession_gateway.usage import StreamMeter, tokens_of_answer

PREFIX: Final = "/v1/model/anthropic"
BODY_BYTES: Final = 32 * 1024 * 1024
CALLS_AT_ONCE: Final = 8
SILENCE_SECONDS: Final = 120.0
_THREAD_BYTES: Final = 256 * 1024


class ModelProxy:
    """The pass-through's one handler."""

    def __init__(self, deps: Deps, bodies: BodyBudget) -> None:
        models = deps.settings.gateway.models
        self._deps = deps
        self._bodies = bodies
        self._base = models.anthropic.base_url.rstrip("/")
        self._slots = Slots(CALLS_AT_ONCE)
        # One large body at a time: reading one takes many times its size.
        self._large = asyncio.Semaphore(1)
        self._ledger = Ledger(deps.store, models.prices, deps.metrics.model, deps.clock, deps.now)

    async def handle(self, request: Request) -> Response:
        """Serves a model call; refusals have the model API's own shape."""
        try:
            recognised = await access.recognise(self._deps, request, api_key_allowed=True)
            path = request.scope["path"].removeprefix(PREFIX)
            if not is_allowed(request.method, path):
                raise ProblemError(404, "not_allowed", "the gateway forwards no such call")
            standing = await access.check(self._deps, recognised)
            require_current(standing.answer)
            if not standing.turn_active:
                raise ProblemError(403, "no_turn", "model calls are served only while a turn runs")
        except ProblemError as problem:
            return self._refuse(problem)
        call = ModelCall(self._ledger, recognised.caller, standing.turn, path)
        if standing.turn is not None and not standing.model_asked:
            await call.first_of_turn()
        async with AsyncExitStack() as held:
            held.callback(call.close)
            try:
                return await self._forward(request, recognised, call, held)
            except ProblemError as problem:
                if not call.status:
                    await call.refused(problem)
                return self._refuse(problem)

    def _refuse(self, problem: ProblemError) -> Response:
        self._deps.metrics.refused(problem)
        return error_response(problem)

    async def _forward(
        self, request: Request, recognised: Recognised, call: ModelCall, held: AsyncExitStack
    ) -> Response:
        if not held.enter_context(self._slots.hold(recognised.caller.session_uid)):
            raise ProblemError(
                429, "too_many_calls", f"{CALLS_AT_ONCE} calls run already", retry_after=1
            )
        effective = await self._deps.sessions.effective(recognised.session)
        with self._bodies.hold(recognised.caller.session_uid) as memory:
            body = await self._read(request, call, effective, memory)
            outgoing = await self._outgoing(request, recognised, call, effective, body)
            del body
            call.forwarded = True
            answer = await self._send(request, outgoing, call)
        if answer is None:
            return Response(status_code=CLIENT_GONE)
        held.push_async_callback(answer.aclose)
        return await self._answer(answer, call, held)

    async def _read(
        self, request: Request, call: ModelCall, effective: Effective, memory: HeldBytes
    ) -> bytes:
        if request.method != "POST":
            await read_body(request, 0, memory)
            return b""
        body = await read_body(request, BODY_BYTES, memory)
        if len(body) < _THREAD_BYTES:
            inspected = inspect_body(body, effective.models, effective.network)
        else:
            async with self._large:
                inspected = await asyncio.to_thread(
                    inspect_body, body, effective.models, effective.network
                )
        call.model = inspected.model
        return body

    async def _outgoing(
        self,
        request: Request,
        recognised: Recognised,
        call: ModelCall,
        effective: Effective,
        body: bytes,
    ) -> httpx.Request:
        try:
            credentials = await self._deps.keys.anthropic(
                recognised.caller.namespace, effective.credentials_secret
            )
        except NoCredentialsError as error:
            raise ProblemError(401, "no_model_key", str(error)) from None
        headers = upstream_headers(request.headers, credentials)
        if body:
            headers["content-length"] = str(len(body))
        url = httpx.URL(self._base + request.scope["path"].removeprefix(PREFIX))
        query = request.scope["query_string"]
        try:
            return self._deps.upstream.build_request(
                request.method,
                url.copy_with(query=query) if query else url,
                headers=headers,
                content=_once([body]) if body else None,
            )
        except (httpx.InvalidURL, UnicodeError):
            # A fragment, a query of many kilobytes, a header beyond ASCII: no CLI sends these.
            raise ProblemError(
                400, "request_invalid", "the query or a header cannot be passed on"
            ) from None

    async def _send(
        self, request: Request, outgoing: httpx.Request, call: ModelCall
    ) -> httpx.Response | None:
        """The answer's head, or None when the caller went away before it."""
        sending = asyncio.ensure_future(self._deps.upstream.send(outgoing, stream=True))
        # The body has been read: all that can still come is the disconnect.
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                call.status = CLIENT_GONE
                return None
            return sending.result()
        except httpx.HTTPError as error:
            raise _upstream_problem(error) from None
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _answer(
        self, answer: httpx.Response, call: ModelCall, held: AsyncExitStack
    ) -> Response:
        if answer.is_redirect:
            raise ProblemError(
                502,
                "upstream_redirect",
                "the model API answered a redirect; set gateway.models.anthropic.baseURL to its "
                "final address",
            )
        now = self._deps.now()
        wait = retry_after_seconds(answer.headers.get("retry-after"), now)
        headers = answer_headers(answer.status_code, answer.headers, wait)
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            await call.ended(answer.status_code)
            meter = StreamMeter()
            held.push_async_callback(_count_rest, call, meter)
            return OwnedStreamingResponse(
                _pass_on(answer, call, meter),
                held.pop_all(),
                status_code=answer.status_code,
                headers=headers,
            )
        body = await _whole(answer, call)
        if answer.is_success:
            await call.ended(answer.status_code)
        else:
            failure = failure_of_answer(
                answer.status_code,
                body,
                model=call.model,
                wait=wait,
                now=now,
                secrets=secrets_of(answer.request.headers),
            )
            await call.failed(failure)
        if answer.is_success and answer.url.path.endswith(MESSAGES):
            await call.count(tokens_of_answer(body))
        return Response(body, answer.status_code, headers)


async def _once(parts: list[bytes]) -> AsyncIterator[bytes]:
    """The body without keeping it: httpx would hold it until the answer's last byte."""
    while parts:
        yield parts.pop()


async def _whole(answer: httpx.Response, call: ModelCall) -> bytes:
    """The body of an answer that is one object: useless in parts, so read to its end."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_bytes():
            call.first_byte()
            body += chunk
            if len(body) > BODY_BYTES:
                raise ProblemError(502, "answer_too_large", "the model API's answer is too large")
    except httpx.HTTPError as error:
        raise _upstream_problem(error) from None
    return bytes(body)


async def _count_rest(call: ModelCall, meter: StreamMeter) -> None:
    """Counts a stream that ended before its last event."""
    await call.count(meter.tokens)


async def _pass_on(
    answer: httpx.Response, call: ModelCall, meter: StreamMeter
) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            call.first_byte()
            meter.feed(chunk)
            if meter.finished:
                # Before the last event leaves: the turn may end with it, and its figures are read.
                await call.count(meter.tokens)
            if meter.error is not None:
                error, meter.error = meter.error, None
                secrets = secrets_of(answer.request.headers)
                await call.failed(failure_of(error.status, error.kind, error.message, secrets))
            yield chunk
    except httpx.HTTPError as lost:
        problem = _upstream_problem(lost)
        await call.refused(problem)
        yield error_event(problem.status, problem.detail)


def _upstream_problem(error: httpx.HTTPError) -> ProblemError:
    if isinstance(error, httpx.TimeoutException):
        return ProblemError(
            504, "upstream_timeout", "the model API did not answer in time; try again later"
        )
    return ProblemError(
        502,
        "upstream_unreachable",
        f"the model API cannot be reached ({type(error).__name__}); check "
        "gateway.models.anthropic.baseURL and the network",
    )
