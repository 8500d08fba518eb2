"""What the bridge's log says, at its most talkative: neither the bot's token nor anybody's words."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_testing.api_server import ApiServer
from agentsession_testing.bridge_process import BridgeProcess
from agentsession_testing.bridge_world import ADA, Agent, is_empty, said
from agentsession_testing.serving import until
from agentsession_testing.telegram import TOKEN, Telegram
from agentsession_testing.valkey import Valkey

CANARY = "canary-in-an-answer"


@pytest.fixture
def bridge_log_level() -> str:
    return "DEBUG"


async def lines(bridge: BridgeProcess) -> list[dict[str, Any]]:
    """All it has said in its life, which ends here; fails if the log holds what it must not."""
    assert await bridge.kill(signal.SIGTERM) == 0
    log = bridge.log()
    secrets = (TOKEN, TOKEN.split(":")[1], "/bot", CANARY, "private")
    assert [word for word in secrets if word in log] == []
    return [json.loads(line) for line in log.splitlines()]


async def test_of_a_conversation(world: Telegram, bridge: BridgeProcess, agent: Agent) -> None:
    await world.post("faults", kind="error", method="getUpdates", code=502)
    await world.write(ADA, "a very private word")
    await agent.answer(str(ADA), "a very private answer")
    await said(world, ADA, "private answer")
    assert "bridge started" in [line["event"] for line in await lines(bridge)]


async def test_of_a_token_that_telegram_refuses(
    world: Telegram, bridge_api_server: ApiServer, valkey: Valkey, tmp_path: Path
) -> None:
    server = bridge_api_server.kubeconfig
    bridge = BridgeProcess(tmp_path, world.url, valkey.url, server, log_level="DEBUG")
    bridge.token = "4200:another-token"
    bridge.allow(ADA)
    await bridge.launch()
    assert bridge.process is not None
    async with asyncio.timeout(180):
        assert await bridge.process.wait() == 1
    log = bridge.log()
    assert "Telegram refuses the bot's token; ask @BotFather for a new one" in log
    assert [word for word in ("another-token", "/bot4", "Unclosed") if word in log] == []


@pytest.mark.parametrize(
    ("code", "refusals", "told"),
    [
        (
            400,
            {
                "sendMessage": [
                    f'can\'t parse entities: unsupported start tag "{CANARY}" at 0',
                    f"{CANARY} is something new",
                ],
                "sendDocument": [CANARY],
            },
            {
                "telegram refused the markup": (None, 400),
                "telegram refuses an answer": ("another reason", 400),
                "given up": ("another reason", 400),
            },
        ),
        (
            403,
            {"sendMessage": [f"bot was blocked by the user who wrote {CANARY}"]},
            {"nobody to deliver to": ("the bot is blocked", 403)},
        ),
    ],
    ids=["bad request", "forbidden"],
)
async def test_of_refusals_that_quote_the_answer(
    world: Telegram,
    bridge: BridgeProcess,
    agent: Agent,
    redis_client: Redis,
    code: int,
    refusals: dict[str, list[str]],
    told: dict[str, tuple[str | None, int]],
) -> None:
    await world.write(ADA, "hello")
    await world.wait("reaction", chat_id=ADA)
    for method, reasons in refusals.items():
        for reason in reasons:
            await world.post("faults", kind="error", method=method, code=code, reason=reason)
    await agent.answer(str(ADA), CANARY)
    await until(lambda: is_empty(redis_client, f"user:{ADA}:outgoing"), "the answer is given up")
    seen = {line["event"]: (line.get("reason"), line.get("code")) for line in await lines(bridge)}
    assert {event: seen.get(event) for event in told} == told
