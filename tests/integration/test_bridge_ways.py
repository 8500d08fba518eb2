"""Who polls, how updates come, who is let in by a code, which agent a person gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from telegram.error import Conflict

from agentsession_core.naming import ANNOTATION_GATEWAY
from agentsession_testing.api_server import ApiServer, cluster_program
from agentsession_testing.bridge_process import NAMESPACE, WEBHOOK_SECRET, BridgeProcess
from agentsession_testing.bridge_world import (
    ADA,
    BOB,
    EVE,
    Agent,
    all_confirmed,
    has_texts,
    said,
    sessions,
)
from agentsession_testing.serving import plain_client, process_environment, until
from agentsession_testing.telegram import Telegram, bot_for
from agentsession_testing.valkey import Valkey

RELEASE_NAMESPACE = "agentsession-system"
PAIRING = f"/api/v1/namespaces/{RELEASE_NAMESPACE}/configmaps/agentsession-pairing"


@pytest.fixture
async def second(
    bridge: BridgeProcess, world: Telegram, valkey: Valkey, tmp_path: Path
) -> AsyncIterator[BridgeProcess]:
    folder = tmp_path / "second"
    folder.mkdir()
    process = BridgeProcess(folder, world.url, valkey.url, bridge.kubeconfig, holder="bridge-2")
    process.allow(ADA, BOB)
    await process.start()
    yield process
    if process.process is not None:
        await process.kill()


async def test_of_two_bridges_one_works_and_the_other_takes_over(
    world: Telegram, bridge: BridgeProcess, second: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "one")
    await agent.answer(str(ADA))
    await said(world, ADA, "echo one")
    assert await redis_client.get("bridge:lease") == b"bridge-1"
    assert (await bridge.metric("agentsession_bridge_leader"), await second.metric(
        "agentsession_bridge_leader"
    )) == (1, 0)  # fmt: skip
    for number in range(3):
        await world.write(BOB, f"m{number}")
    await bridge.kill(signal.SIGKILL)
    await world.write(ADA, "two")
    for person in (ADA, BOB):
        while await agent.answer(str(person)) not in (["two"], ["m2"], ["m0", "m1", "m2"]):
            pass
    await said(world, ADA, "echo two")
    await said(world, BOB, "m2")
    assert await redis_client.get("bridge:lease") == b"bridge-2"
    for process in (bridge, second):
        assert "Conflict" not in process.log()
    # An orderly end gives the work back at once.
    assert await second.kill(signal.SIGTERM) == 0
    assert await redis_client.get("bridge:lease") is None


async def test_a_second_poller_makes_it_unready_and_never_ends_it(
    world: Telegram, bridge: BridgeProcess
) -> None:
    async with bot_for(world.url) as other:

        async def in_conflict() -> bool:
            # The older poll is told: between two of the bridge's own that is ours.
            with contextlib.suppress(Conflict):
                await other.get_updates(timeout=1)
            return await _counts(bridge, "agentsession_bridge_poll_conflicts_total")

        await until(in_conflict, "a 409", 40)
    assert not await bridge.ready()
    assert bridge.process is not None
    assert bridge.process.returncode is None


async def _counts(bridge: BridgeProcess, name: str) -> bool:
    return await bridge.metric(name) >= 1


async def test_updates_come_by_webhook_and_nothing_is_read_of_anybody_else(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await bridge.kill()
    bridge.settings = {
        "telegram": {
            "apiURL": world.url,
            "webhookURL": f"http://127.0.0.1:{bridge.port}/telegram",
        }
    }
    await bridge.start()
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "Hi")
    await said(world, ADA, "Hi")
    await until(lambda: all_confirmed(world), "the webhook has answered")
    # The answer comes although the body never does.
    head = b"POST /telegram HTTP/1.1\r\nhost: bridge\r\ncontent-length: %d\r\n%s\r\n"
    for secret, length, status in (
        (b"", 500, b"403"),
        (b"x-telegram-bot-api-secret-token: wrong\r\n", 500, b"403"),
        (
            b"x-telegram-bot-api-secret-token: %s\r\n" % WEBHOOK_SECRET.encode(),
            2_000_000,
            b"413",
        ),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        writer.write(head % (length, secret))
        line = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        assert status in line
    async with plain_client(base_url=f"http://127.0.0.1:{bridge.port}") as client:
        header = {"x-telegram-bot-api-secret-token": WEBHOOK_SECRET}
        garbage = await client.post("/telegram", headers=header, content=b"{")
        assert garbage.status_code == httpx.codes.OK
    # Back to polls: the webhook does not stay behind.
    await bridge.kill(signal.SIGTERM)
    bridge.settings = {}
    await bridge.start()
    await world.write(ADA, "polled")
    await until(lambda: has_texts(redis_client, ADA, ["polled"]), "the message is in")


async def agents(server: ApiServer, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run `kubectl agents`; answers its exit code and all that it says."""
    (folder / "kubectl").symlink_to(cluster_program()) if not (
        folder / "kubectl"
    ).exists() else None
    environment = process_environment(server.kubeconfig)
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kubectl_agents", *arguments, "-n", NAMESPACE),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, output.decode()


async def test_a_stranger_gets_a_code_and_is_let_in_with_it_until_it_is_taken_back(
    world: Telegram,
    bridge: BridgeProcess,
    bridge_api_server: ApiServer,
    agent: Agent,
    tmp_path: Path,
) -> None:
    bridge_api_server.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}}
    )
    for kind, name, namespace, notes in (
        ("ConfigMap", "agentsession-pairing", RELEASE_NAMESPACE, {}),
        (
            "ServiceAccount",
            "agentsession-cli",
            NAMESPACE,
            {ANNOTATION_GATEWAY: f"{RELEASE_NAMESPACE}/agentsession-gateway"},
        ),
    ):
        bridge_api_server.apply(
            {
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {"name": name, "namespace": namespace, "annotations": notes},
            }
        )
    await world.write(EVE, "let me in")
    told = (await said(world, EVE, "kubectl agents approve"))["text"]
    found = re.search(r"approve (\w{4}-\w{4})", told)
    assert found is not None
    code = found[1]
    # Another attempt within the hour says nothing more, and makes no other code.
    await world.write(EVE, "please")
    await until(lambda: all_confirmed(world), "the bridge has taken every update in")
    assert len([m for m in await world.messages(EVE) if m["from"]["is_bot"]]) == 1
    wrong = await agents(bridge_api_server, tmp_path, "approve", "AAAA-BBBB")
    assert wrong[0] == 3, wrong
    done = await agents(bridge_api_server, tmp_path, "approve", code.lower())
    assert done == (0, f"Eve ({EVE}) is let in\n")
    await said(world, EVE, "You are let in")
    data = bridge_api_server.get(PAIRING)["data"]
    assert [key for key in data if key.startswith("approve.")] == []
    assert json.loads(data[f"user.{EVE}"])["approvedBy"] != ""
    # A code works once.
    assert (await agents(bridge_api_server, tmp_path, "approve", code))[0] == 3
    await world.write(EVE, "hello")
    await agent.answer(str(EVE), "Hi Eve")
    await said(world, EVE, "Hi Eve")
    assert (await agents(bridge_api_server, tmp_path, "revoke", str(EVE)))[0] == 0
    await world.write(EVE, "still there?")

    async def told_again() -> bool:
        own = [m["text"] for m in await world.messages(EVE) if m["from"]["is_bot"]]
        return own[-1] == "Hi Eve" and await all_confirmed(world)

    await until(told_again, "she is a stranger again")


async def test_which_agent_a_person_gets_stays(
    world: Telegram, bridge: BridgeProcess, bridge_api_server: ApiServer, agent: Agent
) -> None:
    routing = {"useCLIAgent": True, "otherTemplate": "legacy", "cliAgentUsers": [str(BOB)]}
    for user, setting, expected in (
        (ADA, "false", ("other", "legacy")),
        (BOB, "true", ("cli-agent", None)),
    ):
        await bridge.kill(signal.SIGTERM)
        bridge.environment = {"USE_CLI_AGENT": setting}
        bridge.settings = {"routing": routing | {"cliAgentPercent": 0}}
        await bridge.start()
        await world.write(user, "hello")
        await until(partial(_has_session, bridge_api_server, user), "the session is made", 30)
        assert _routes(bridge_api_server)[user] == expected
    # ADA's session goes, and the setting now says otherwise: her kind stays.
    with bridge_api_server.client() as client:
        client.delete(
            f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions/telegram-{ADA}"
        )
    await until(lambda: ADA not in _routes(bridge_api_server), "her session is gone", 30)
    await bridge.kill(signal.SIGTERM)
    bridge.settings = {"routing": routing | {"cliAgentPercent": 100}}
    await bridge.start()
    await world.write(ADA, "again")
    await until(lambda: ADA in _routes(bridge_api_server), "her session is made", 30)
    assert _routes(bridge_api_server)[ADA] == ("other", "legacy")
    await agent.answer(str(ADA), "Hi")
    await said(world, ADA, "Hi")
    await until(lambda: _counts(bridge, "agentsession_bridge_answers_total"), "it is counted")


def _has_session(server: ApiServer, user: int) -> bool:
    return user in _routes(server)


def _routes(server: ApiServer) -> dict[int, tuple[str, str | None]]:
    return {
        int(session["spec"]["user"]["id"]): (
            session["metadata"]["labels"]["agentsession.dev/route"],
            session["spec"].get("templateRef", {}).get("name"),
        )
        for session in sessions(server)
    }
