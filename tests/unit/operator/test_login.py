"""kopf's session with an API server, and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
from fastapi import FastAPI, Request

from agentsession_operator.login import login_handler
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.serving import plain_server, serving

PODS = "/api/v1/namespaces/agents/pods"


class Requests(list[tuple[str, bool]]):
    """What was told: paths, and whether they were watched."""

    def tell(self, path: str, watch: bool) -> None:
        self.append((path, watch))


@asynccontextmanager
async def logged_in(login: Any) -> AsyncIterator[kopf.AiohttpSession]:
    session: kopf.AiohttpSession = await login(settings=kopf.OperatorSettings())
    try:
        yield session
    finally:
        await session.aiohttp_session.close()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


async def test_requests_are_told_and_carry_the_token(kubeconfig: Path) -> None:
    api, told = FastAPI(), Requests()

    @api.get(PODS)
    def pods(request: Request) -> str:
        assert told, "before it was sent"
        return request.headers["authorization"]

    async with serving(plain_server(api)) as url:
        write_kubeconfig(kubeconfig, url, "of-anna")
        async with logged_in(login_handler(told.tell)) as found:
            session = found.aiohttp_session
            async with session.get(f"{found.server}{PODS}?limit=500") as listed:
                assert await listed.json() == "Bearer of-anna"
            async with session.get(f"{found.server}{PODS}?watch=true&resourceVersion=7"):
                pass
    assert told == [(PODS, False), (PODS, True)]


async def test_credentials_that_were_refused_are_known_again(kubeconfig: Path) -> None:
    """kopf compares; a token that is refused again and again would else be tried without a pause."""
    login = login_handler(Requests().tell)
    write_kubeconfig(kubeconfig, "https://127.0.0.1:1", "old")
    async with logged_in(login) as refused:
        async with logged_in(login) as again:
            assert again == refused
        write_kubeconfig(kubeconfig, "https://127.0.0.1:1", "new")
        async with logged_in(login) as renewed:
            assert renewed != refused


async def test_without_any_access_kopf_is_given_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await login_handler(Requests().tell)(settings=kopf.OperatorSettings()) is None
