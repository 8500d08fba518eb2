"""`orchestrator-api` as processes: migrate, create-token, serve; what is wrong is said and ends it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.kube_api import ACCOUNT_TOKEN, KubeApi
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.orchestrator import DATABASES, KEY, Orchestrator, opened, problem
from agentsession_testing.orchestrator_process import Installation
from agentsession_testing.postgresql import PostgreSQL
from agentsession_testing.serving import free_port, plain_server, serving, until
from agentsession_testing.valkey import Valkey

PAGE = Path(__file__).resolve().parents[2] / "docs" / "orchestrator.md"
# Importing alone takes half a minute on a machine with too much to do.
START_SECONDS = 90
# Of the 20 that a follower may wait for.
STOP_SECONDS = 10
NOBODY = "postgresql://orchestrator@127.0.0.1:9/orchestrator"


@pytest.fixture
async def sqlite(tmp_path: Path, valkey: Valkey) -> Installation:
    return Installation.new(tmp_path, f"sqlite:///{tmp_path}/orchestrator.db", valkey.url)


@pytest.fixture(params=DATABASES)
async def installation(
    request: pytest.FixtureRequest, tmp_path: Path, valkey: Valkey
) -> Installation:
    """One with an empty database, once for each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/orchestrator.db"
    else:
        server: PostgreSQL = request.getfixturevalue("postgresql")
        await server.execute("DROP DATABASE IF EXISTS of_a_process")
        await server.execute("CREATE DATABASE of_a_process")
        url = server.url("of_a_process")
    return Installation.new(tmp_path, url, valkey.url)


async def test_from_an_empty_database_to_a_project_and_a_clean_end(
    installation: Installation,
) -> None:
    assert installation.run("migrate").returncode == 0
    assert installation.run("migrate").returncode == 0, "what is new already stays so"
    made = installation.run("create-token", "--user", "ada", "--scope", "write")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert token.startswith("orc_")
    async with installation.serving("--no-cluster") as server:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        async with server.client(token) as ada:
            project = (await ada.post("/v1/projects", json={"name": "todo-app"})).json()
            secret = await ada.put(
                f"/v1/projects/{project['id']}/secrets/API_KEY", json={"value": "a-secret-value"}
            )
            assert secret.status_code in (200, 201), secret.text
            assert problem(await ada.get("/v1/projects/999999"))[0] == 404
            assert problem(await ada.get("/nowhere")) == (404, "no_such_route")
        async with server.client("orc_unknown") as stranger:
            assert (await stranger.get("/v1/projects")).status_code == 401
        metrics = await server.metrics()
        name = "agentsession_orchestrator_request_seconds_count"
        for line in (
            f'{name}{{method="POST",route="/v1/projects",status="201"}} 1.0',
            f'{name}{{method="GET",route="/v1/projects/{{project_id}}",status="404"}} 1.0',
            f'{name}{{method="GET",route="/v1/projects",status="401"}} 1.0',
            f'{name}{{method="GET",route="none",status="404"}} 1.0',
            "agentsession_orchestrator_outbox_entries ",
            "process_resident_memory_bytes",
        ):
            assert line in metrics, metrics
        assert "readyz" not in metrics
        assert await server.stop() == 0
        lines = await server.logs()
    records = [json.loads(line) for line in lines]
    assert {record["service"] for record in records} == {"orchestrator"}
    assert not [line for line in lines if "alembic" in line], "readiness would fill the log"
    assert not [line for line in lines if token in line or "a-secret-value" in line or KEY in line]


async def test_followers_do_not_keep_it(sqlite: Installation, redis_client: Redis) -> None:
    async def waits() -> bool:
        return any(one["cmd"] == "xread" for one in await redis_client.client_list())

    token = sqlite.run("create-token", "--user", "ada", "--scope", "write").stdout.strip()
    async with sqlite.serving("--no-cluster") as server, server.client(token) as ada:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        wish = {"kind": "engineering", "request": "Add a list"}
        task = (await ada.post("/v1/tasks", json=wish)).json()["id"]
        path = f"/v1/tasks/{task}/events"
        follower = asyncio.create_task(ada.get(f"{path}?after=1&wait=20", timeout=60))
        await until(waits, "the follower waits in Redis")
        began = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS
        page = (await follower).json()
    assert (page["items"], page["ended"]) == ([], False)


async def test_a_run_pod_is_recognised_and_the_gateways_token_is_not(
    sqlite: Installation, store: MailboxStore, tmp_path: Path
) -> None:
    kube = KubeApi()
    assert sqlite.run("migrate").returncode == 0
    database = opened(sqlite.database_url)
    token = await Orchestrator(database, store=store, cluster=kube.cluster).run("ada")
    await database.close()
    async with serving(plain_server(kube)) as url:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url, ACCOUNT_TOKEN)
        async with sqlite.serving(kubeconfig=kubeconfig) as server:
            await until(server.ready, "the orchestrator is ready", START_SECONDS)
            async with server.client(token) as agent:
                made = await agent.post("/v1/projects", json={"name": "todo-app"})
                assert made.status_code == 201, made.text
            async with server.client(token, **{"orchestrator-user": "bob"}) as forger:
                forged = await forger.get("/v1/projects")
                assert problem(forged) == (403, "user_mismatch")
            async with server.client("another-token") as stranger:
                assert (await stranger.get("/v1/projects")).status_code == 401
            metrics = await server.metrics()
            assert await server.stop() == 0
    reviews = "agentsession_orchestrator_token_reviews_total"
    assert f'{reviews}{{result="accepted"}} 1.0' in metrics
    assert f'{reviews}{{result="refused"}} 1.0' in metrics
    requests = "agentsession_orchestrator_api_requests_total"
    for resource in ("pods", "jobs", "agentsessions"):
        assert f'{requests}{{resource="{resource}",result="ok",verb="get"}} 1.0' in metrics


async def test_it_is_unready_until_postgresql_is_migrated(
    tmp_path: Path, postgresql: PostgreSQL, valkey: Valkey
) -> None:
    await postgresql.execute("DROP DATABASE IF EXISTS not_migrated")
    await postgresql.execute("CREATE DATABASE not_migrated")
    installation = Installation.new(tmp_path, postgresql.url("not_migrated"), valkey.url)
    refused = installation.run("create-token", "--user", "ada", "--scope", "read")
    assert refused.returncode == 1
    assert "run orchestrator-api migrate" in refused.stderr
    async with installation.serving("--no-cluster") as server:

        async def lives() -> bool:
            try:
                async with server.client() as client:
                    return (await client.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(lives, "the orchestrator lives", START_SECONDS)
        async with server.client() as client:
            answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "run orchestrator-api migrate" in answer.json()["failed"]["database"]
        assert installation.run("migrate").returncode == 0
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        assert await server.stop() == 0


async def test_a_copy_of_sqlite_and_back_as_the_page_has_it(
    sqlite: Installation, tmp_path: Path
) -> None:
    text = PAGE.read_text(encoding="utf-8").replace("/var/lib/orchestrator", str(tmp_path))
    copy, put_back = (
        textwrap.dedent(code) for code in re.findall(r"-- python3 -c '\n(.*?)'", text, re.DOTALL)
    )

    def program(code: str, data: bytes = b"") -> bytes:
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    token = sqlite.run("create-token", "--user", "ada", "--scope", "write").stdout.strip()
    async with sqlite.serving("--no-cluster") as server, server.client(token) as ada:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        await ada.post("/v1/projects", json={"name": "before"})
        copied = program(copy)
        await ada.post("/v1/projects", json={"name": "after"})
        program(put_back, copied)
        assert await server.stop() == 0
    async with sqlite.serving("--no-cluster") as server, server.client(token) as ada:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        projects = (await ada.get("/v1/projects")).json()["items"]
        assert [project["name"] for project in projects] == ["before"]


async def test_told_to_end_twice(sqlite: Installation) -> None:
    async with sqlite.serving("--no-cluster") as server:
        await until(server.ready, "the orchestrator is ready", START_SECONDS)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        assert await server.stop() == 0
        assert "Traceback" not in "\n".join(await server.logs())


@pytest.mark.parametrize(
    ("orchestrator", "command", "named"),
    [
        ({"prot": 1}, "serve", ("prot", "config.yaml")),
        ({"port": 0}, "serve", ("orchestrator.port",)),
        ({"approvals": "Some"}, "serve", ("orchestrator.approvals",)),
        ({}, "serve", ("KUBECONFIG", "--no-cluster")),
        ({"database": {"url": "mysql://u@h/d"}}, "migrate", ("orchestrator.database.url",)),
        ({"database": {"url": NOBODY}}, "migrate", ("127.0.0.1:9", "is it there")),
        (
            {"database": {"url": "sqlite:////no/such/folder/o.db"}},
            "migrate",
            ("/no/such/folder/o.db", "a folder to write in"),
        ),
    ],
)
async def test_wrong_settings_are_refused_with_what_to_do(
    sqlite: Installation, orchestrator: dict[str, Any], command: str, named: tuple[str, ...]
) -> None:
    sqlite.configure(**orchestrator)
    refused(sqlite, command, *named)


async def test_a_database_that_is_not_there(
    tmp_path: Path, postgresql: PostgreSQL, valkey: Valkey
) -> None:
    installation = Installation.new(tmp_path, postgresql.url("never_made"), valkey.url)
    refused(installation, "migrate", "InvalidCatalogName", "database never_made")


async def test_a_key_that_is_none(sqlite: Installation) -> None:
    sqlite.put_secret("orchestrator-encryption-key", "not-a-key")
    said = refused(sqlite, "serve", "orchestrator-encryption-key", "openssl rand -base64 32")
    assert "not-a-key" not in said


async def test_a_port_that_somebody_has(sqlite: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sqlite.configure(metricsPort=port)
        refused(sqlite, "serve", f"port {port}", "orchestrator.metricsPort")
        sqlite.configure(port=port, metricsPort=free_port())
        refused(sqlite, "serve --no-cluster", f"port {port}", "orchestrator.port")


async def test_a_user_that_cannot_be(sqlite: Installation) -> None:
    done = sqlite.run("create-token", "--user", "../ada", "--scope", "read")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'../ada' cannot be a user's id" in done.stderr


def refused(installation: Installation, command: str, *named: str) -> str:
    """What it says when it ends by itself; one line at the end says why and what to do."""
    own = ("--host", "127.0.0.1") if command.startswith("serve") else ()
    done = installation.run(*command.split(), *own)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("orchestrator-api: "), said
    for word in named:
        assert word in last
    return said
