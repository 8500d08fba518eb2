"""A gateway before a model API, both listening, with one session's first run begun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_gateway.server import build_server
from agentsession_testing.gateway import RUN, TOKEN, USER, Harness
from agentsession_testing.model_api import ModelApi
from agentsession_testing.serving import plain_client, plain_server, serving

KEY = "sk-ant-the-real-key"
MESSAGES = "/v1/model/anthropic/v1/messages"
CALL = {"model": "claude-x", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
PRICES = {
    "claude-x": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite": "3.75"},
}
# 10·3 + 7·15 + 1000·0.30 + 100·3.75 US dollars per million, in billionths of a dollar.
COST = 810_000


@pytest.fixture
def api() -> ModelApi:
    """The model API behind the gateway."""
    return ModelApi()


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path, api: ModelApi) -> AsyncIterator[Harness]:
    """The gateway's collaborators."""
    (tmp_path / "anthropic-api-key").write_text(f"{KEY}\n", encoding="utf-8")
    async with (
        serving(plain_server(api)) as url,
        plain_client(timeout=httpx.Timeout(5, read=1.0)) as upstream,
    ):
        harness = Harness(store, settings_for(url), tmp_path, upstream)
        harness.add_session()
        await harness.begin_run()
        yield harness
        api.hold.set()
        api.last.set()


def settings_for(url: str) -> Settings:
    """A gateway's settings with that upstream."""
    return Settings.model_validate(
        {"gateway": {"models": {"anthropic": {"baseURL": url}, "prices": PRICES}}}
    )


@asynccontextmanager
async def gateway(harness: Harness, token: str = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the listening gateway."""
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with (
        serving(server) as url,
        plain_client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=20
        ) as client,
    ):
        yield client


async def model_failure(harness: Harness) -> tuple[int | None, str, str]:
    """Status, code and detail of the turn's record about the model, read as the operator will."""
    await harness.store.commit_result(
        USER, run=RUN, turn="turn-1", result=ResultRecord(TurnOutcome.MODEL_ERROR, "")
    )
    last = (await harness.store.state(USER)).last
    assert last is not None
    return last.model_status, last.model_code, last.model_detail


async def model_status(harness: Harness) -> int | None:
    """The status alone."""
    return (await model_failure(harness))[0]


def error_of(response: httpx.Response) -> str:
    """The type of an error in the API's own shape."""
    body: dict[str, Any] = response.json()
    assert body["type"] == "error"
    assert body["error"]["message"]
    kind: str = body["error"]["type"]
    return kind


@asynccontextmanager
async def listening(harness: Harness) -> AsyncIterator[str]:
    """The URL of the listening gateway."""
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with serving(server) as url:
        yield url
