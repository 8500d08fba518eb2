"""Model calls whose upstream fails."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from agentsession_core.cluster import Resource
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_testing.gateway import USER, Harness
from agentsession_testing.model_api import DELTA, END, START, STOP, ModelApi
from agentsession_testing.model_gateway import (
    CALL,
    KEY,
    MESSAGES,
    error_of,
    gateway,
    model_failure,
    model_status,
    settings_for,
)


def losses(harness: Harness) -> float | None:
    """Calls whose tokens are in no sum."""
    return harness.metrics.registry.get_sample_value("agentsession_gateway_usage_losses_total")


class TestUpstreamFailures:
    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 529])
    async def test_status_is_passed_on_and_remembered(
        self, harness: Harness, api: ModelApi, status: int
    ) -> None:
        api.answer = api.status(status, retry_after="7", x_internal="no")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == status
        assert f"fake {status}" in answer.text
        assert answer.headers["retry-after"] == "7"
        assert "x-internal" not in answer.headers
        assert await model_status(harness) == status
        assert (await harness.store.state(USER)).usage.input_tokens == 0

    async def test_the_apis_words_are_remembered_without_the_key(
        self, harness: Harness, api: ModelApi
    ) -> None:
        async def refuse(_request: Request) -> Response:
            error = {"type": "billing_error", "message": f"no credit\nfor {KEY}"}
            return JSONResponse({"type": "error", "error": error}, 402)

        api.answer = refuse
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
        assert await model_failure(harness) == (402, "billing_error", "no credit for ***")

    async def test_an_unknown_model_is_named(self, harness: Harness, api: ModelApi) -> None:
        api.answer = api.status(404)
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
        status, _, detail = await model_failure(harness)
        assert (status, detail) == (404, "asked for model 'claude-x': fake 404")

    @pytest.mark.parametrize("retry_after", ["3600", "Mon, 23 Nov 2026 13:00:00 GMT"])
    async def test_a_long_wait_is_told_and_not_waited_for(
        self, harness: Harness, api: ModelApi, retry_after: str
    ) -> None:
        api.answer = api.status(429, retry_after=retry_after)
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert "retry-after" not in answer.headers
        assert answer.headers["x-should-retry"] == "false"
        _, _, detail = await model_failure(harness)
        assert detail == "fake 429; it takes calls again at 2026-11-23 13:00 UTC"

    async def test_the_gateways_own_refusal_is_remembered(
        self, harness: Harness, api: ModelApi
    ) -> None:
        template = {"metadata": {"name": "default"}, "spec": {"models": ["m1"]}}
        harness.cluster.put(Resource.TEMPLATE, "default", template)
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
        status, code, detail = await model_failure(harness)
        assert (status, code) == (403, "model_not_allowed")
        assert "'claude-x'" in detail

    async def test_a_success_clears_it(self, harness: Harness, api: ModelApi) -> None:
        api.answer = api.status(529)
        await harness.begin_turn()
        async with gateway(harness) as client:
            await client.post(MESSAGES, json=CALL)
            api.answer = None
            await client.post(MESSAGES, json=CALL)
        assert await model_status(harness) is None

    async def test_refused_connection(self, harness: Harness) -> None:
        harness.settings = settings_for("http://127.0.0.1:9")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (502, "api_error")
        assert "ConnectError" in answer.text
        assert await model_status(harness) == 502

    async def test_unknown_host(self, harness: Harness) -> None:
        harness.settings = settings_for("http://model-api.invalid")
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 502
        assert await model_status(harness) == 502

    async def test_silence_before_the_answer(self, harness: Harness, api: ModelApi) -> None:
        async def silent(_request: Request) -> Response:
            await api.hold.wait()
            return Response()

        api.answer = silent
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert (answer.status_code, error_of(answer)) == (504, "timeout_error")
        assert await model_status(harness) == 504

    async def test_silence_in_the_middle_of_a_stream(self, harness: Harness, api: ModelApi) -> None:
        api.answer = api.stream
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 200
        assert answer.content.startswith(START + DELTA)
        assert b"event: error\n" in answer.content
        assert b"timeout_error" in answer.content
        assert await model_status(harness) == 504
        assert (await harness.store.state(USER)).usage.input_tokens == 1110

    async def test_a_cut_stream(self, harness: Harness, api: ModelApi) -> None:
        async def cut(_request: Request) -> Response:
            async def parts() -> AsyncIterator[bytes]:
                yield START[:-9]

            # More is promised than comes.
            return StreamingResponse(
                parts(), media_type="text/event-stream", headers={"content-length": "100000"}
            )

        api.answer = cut
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        head, _, tail = answer.content.partition(b"\n\nevent: error\n")
        assert head == START[:-9]
        assert b"api_error" in tail
        assert await model_status(harness) == 502

    async def test_an_error_inside_a_stream(self, harness: Harness, api: ModelApi) -> None:
        error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'

        async def overloaded(_request: Request) -> Response:
            return Response(START + error, media_type="text/event-stream")

        api.answer = overloaded
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.content == START + error
        assert await model_status(harness) == 529

    async def test_a_redirect_is_not_followed(self, harness: Harness, api: ModelApi) -> None:
        async def redirect(request: Request) -> Response:
            return RedirectResponse(str(request.url.replace(path="/elsewhere")), 307)

        api.answer = redirect
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.status_code == 502
        assert "redirect" in answer.text
        assert "location" not in answer.headers
        assert len(api.seen) == 1

    async def test_an_upstream_that_compresses_all_the_same(
        self, harness: Harness, api: ModelApi
    ) -> None:
        async def compressed(_request: Request) -> Response:
            return Response(
                gzip.compress(START + DELTA + END + STOP),
                media_type="text/event-stream",
                headers={"content-encoding": "gzip"},
            )

        api.answer = compressed
        await harness.begin_turn()
        async with gateway(harness) as client:
            answer = await client.post(MESSAGES, json=CALL)
        assert answer.content == START + DELTA + END + STOP
        assert "content-encoding" not in answer.headers
        assert (await harness.store.state(USER)).usage.output_tokens == 7

    async def test_losing_redis_in_the_middle_loses_figures_not_the_answer(
        self, harness: Harness, api: ModelApi, redis_client: Redis
    ) -> None:
        api.answer = api.stream
        await harness.begin_turn()
        async with (
            gateway(harness) as client,
            client.stream("POST", MESSAGES, json=CALL) as answer,
        ):
            chunks = answer.aiter_raw()
            await anext(chunks)
            # Writing a text over the hash makes every later write to it fail.
            await redis_client.set(MailboxKeys(USER).usage, "broken")
            api.hold.set()
            api.last.set()
            assert b"".join([chunk async for chunk in chunks]) == END + STOP
        assert losses(harness) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            Response(b"no object", media_type="application/json"),
            Response(b'{"type": "message"}', media_type="application/json"),
            Response(b"data: {}\n\n", media_type="text/event-stream"),
        ],
    )
    async def test_an_answer_that_does_not_tell_its_tokens_is_a_loss(
        self, harness: Harness, api: ModelApi, answer: Response
    ) -> None:
        async def reply(_: Request) -> Response:
            return answer

        api.answer = reply
        await harness.begin_turn()
        async with gateway(harness) as client:
            told = await client.post(MESSAGES, json=CALL)
            await client.post(f"{MESSAGES}/count_tokens", json=CALL)
        assert told.content == answer.body
        assert losses(harness) == 1
