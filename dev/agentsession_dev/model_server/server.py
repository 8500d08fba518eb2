"""Runs the application under uvicorn: as a process, or in a thread for tests."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

import uvicorn

from agentsession_dev.connections import Connections
from agentsession_dev.model_server.app import create_app
from agentsession_dev.model_server.rules import RuleBook, parse_rules
from agentsession_dev.model_server.service import Effects
from agentsession_dev.serving import http_server, running_in_thread


def real_effects() -> Effects:
    """Return the system's clock, random ids and real waiting."""
    return Effects(
        now=time.time,
        new_id=lambda prefix: f"{prefix}_{uuid.uuid4().hex}",
        sleep=asyncio.sleep,
    )


def demo_rules() -> RuleBook:
    """Return the rules shipped with the package."""
    data = resources.files("agentsession_dev.model_server").joinpath("rules/demo.json")
    return parse_rules(data.read_bytes())


def build_server(
    *,
    rules: RuleBook,
    api_keys: frozenset[str],
    any_key: bool,
    host: str = "127.0.0.1",
    port: int = 0,
    log_level: str = "warning",
) -> uvicorn.Server:
    """Return a server that is not yet running."""
    connections = Connections()
    app = create_app(
        rules=rules,
        api_keys=api_keys,
        any_key=any_key,
        effects=real_effects(),
        connections=connections,
    )
    return http_server(app, connections, host=host, port=port, log_level=log_level)


@contextmanager
def serve_in_thread(
    *,
    rules: RuleBook,
    api_keys: frozenset[str] = frozenset(),
    any_key: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[str]:
    """Run a server on a free port while the block runs; yields its base URL."""
    server = build_server(rules=rules, api_keys=api_keys, any_key=any_key, host=host)
    with running_in_thread(server, host) as url:
        yield url
