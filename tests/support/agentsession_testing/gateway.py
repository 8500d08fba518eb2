"""A gateway over a fake cluster and a real Valkey."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from agentsession_core import naming
from agentsession_core.api import LaunchType
from agentsession_core.identity import TokenIdentity
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import SecretFiles, Settings
from agentsession_gateway.app import create_app
from agentsession_gateway.bridge_files import BridgeFiles
from agentsession_gateway.credentials import KeySource
from agentsession_gateway.deps import Deps
from agentsession_gateway.hub import HintHub
from agentsession_gateway.metrics import Metrics
from agentsession_gateway.sessions import ClusterSessionReader
from agentsession_gateway.terminal_access import terminal_reviewer
from agentsession_testing.fake_cluster import FakeCluster

SESSION = "ada"
SESSION_UID = "5e551011"
USER = "42"
TOKEN = "token-of-run-1"
RUN = f"{SESSION_UID}/1"
POD_UID = f"{SESSION}-r1-abcde-uid"
HELLO = {"protocol": 1, "agentType": "claude-code", "cliVersion": "2.1"}


def _no_network(_request: httpx.Request) -> httpx.Response:
    raise AssertionError("this test calls no model")


NO_NETWORK = httpx.MockTransport(_no_network)


@dataclass
class Harness:
    """A gateway's collaborators, for tests to look at and to change before `app` is asked for."""

    store: MailboxStore
    settings: Settings
    secrets: Path
    upstream: httpx.AsyncClient
    cluster: FakeCluster = field(default_factory=FakeCluster)
    metrics: Metrics = field(default_factory=Metrics)
    bridge: httpx.AsyncClient | None = None
    monotonic_offset: float = 0.0
    address: str = "http://this-gateway:8080"

    def __post_init__(self) -> None:
        self.store.observe(self.metrics.mailboxes)
        self.hub = HintHub(self.store, lambda: 0.0)

    def reopen(self) -> None:
        """To be called before `app` is asked for another time: as a gateway that starts anew."""
        self.hub = HintHub(self.store, lambda: 0.0)

    def clock(self) -> float:
        """Monotonic seconds, moved on by `monotonic_offset`."""
        return time.monotonic() + self.monotonic_offset

    def app(self) -> FastAPI:
        """The application."""
        turns = (f"turn-{number}" for number in itertools.count(1))
        return create_app(
            Deps(
                settings=self.settings,
                identity=TokenIdentity(
                    self.cluster,
                    naming.AUDIENCE_GATEWAY,
                    self.settings.session_namespaces,
                    self.clock,
                ),
                terminals=terminal_reviewer(
                    self.cluster, self.settings.session_namespaces, self.clock
                ),
                sessions=ClusterSessionReader(self.cluster, self.settings, self.clock),
                cluster=self.cluster,
                store=self.store,
                hub=self.hub,
                upstream=self.upstream,
                bridge=BridgeFiles(
                    self.bridge or self.upstream, "http://bridge", self.secrets / "bridge-token"
                ),
                keys=KeySource(SecretFiles(self.secrets), self.cluster, self.clock),
                metrics=self.metrics,
                new_turn_id=lambda: next(turns),
                clock=self.clock,
                now=lambda: datetime(2026, 11, 23, 12, tzinfo=UTC),
                address=self.address,
            )
        )

    def add_session(self, spec: dict[str, Any] | None = None, **status: Any) -> None:
        """Adds the session with its first run's Job, pod and token."""
        self.cluster.add_session(
            SESSION, SESSION_UID, {"user": {"id": USER}, **(spec or {})}, status
        )
        self.cluster.add_run(SESSION, SESSION_UID, 1, TOKEN)

    async def begin_run(self, *, hello: bool = True) -> None:
        """Makes the session's first run the current one, bound to its pod."""
        await self.store.begin_run(
            USER, run=RUN, expected="", session_uid=SESSION_UID, launch=LaunchType.COLD
        )
        if hello:
            await self.store.hello(USER, run=RUN, pod_uid=POD_UID, pod="pod")

    async def prompt(self, text: str = "Hello", generation: int = 1) -> None:
        """A message waits."""
        await self.store.ingest_prompt(
            USER,
            uid=SESSION_UID,
            generation=generation,
            sha256=f"{text}-{generation}",
            text=text,
            known_sha256=None,
        )

    async def begin_turn(self, turn: str = "turn-1", text: str = "Hello") -> None:
        """The current run works on a turn."""
        await self.prompt(text)
        await self.store.begin_turn(USER, run=RUN, pod_uid=POD_UID, turn=turn, timeout_seconds=1800)


@asynccontextmanager
async def session_harness(store: MailboxStore, folder: Path) -> AsyncIterator[Harness]:
    """A gateway that calls no model, and a session with a run."""
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), folder, upstream)
        harness.add_session()
        yield harness


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem; checks its shape."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "code", "detail"}
    assert body["status"] == response.status_code
    assert TOKEN not in response.text
    return response.status_code, body["code"]


@asynccontextmanager
async def client_of(app: FastAPI, token: str | None = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application without a network, as the run's pod."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers, trust_env=False
    ) as client:
        yield client


@dataclass(frozen=True)
class StreamEvent:
    """A server-sent event."""

    name: str
    data: dict[str, Any]
    id: str = field(default="", compare=False)


async def stream_events(response: httpx.Response) -> AsyncIterator[StreamEvent]:
    """The events of a stream; comments are left out."""
    name = entry_id = ""
    async for line in response.aiter_lines():
        field_name, _, value = line.partition(": ")
        if field_name == "event":
            name = value
        elif field_name == "id":
            entry_id = value
        elif field_name == "data":
            yield StreamEvent(name, json.loads(value), entry_id)
