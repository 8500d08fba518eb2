"""Every way the model upstream can fail, through whole turns: real CLI, runner and gateway processes.

A turn ends with a named outcome within its time, and the next prompt of the same run is answered.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.model import LastTurnRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_dev.model_server.rules import parse_rules
from agentsession_dev.model_server.server import serve_in_thread
from agentsession_testing.claude_cli import as_agent
from agentsession_testing.gateway import RUN, TOKEN
from agentsession_testing.runner_process import Volume, running_runner
from agentsession_testing.valkey import Valkey
from agentsession_testing.whole_turn import WholeTurn, whole_turn

pytestmark = [pytest.mark.claude, pytest.mark.timeout(300)]

TURN_SECONDS = 60.0
RULES: dict[str, Any] = {
    "rules": [{"name": "echo", "steps": [{"say": "some words: {{ last_user_text }}"}]}]
}


@pytest.fixture
def model() -> Iterator[str]:
    rules = parse_rules(json.dumps(RULES).encode())
    with serve_in_thread(rules=rules, any_key=True) as url:
        yield url


@pytest.fixture
async def parts(
    store: MailboxStore, valkey: Valkey, tmp_path: Path, model: str, volume: Volume
) -> AsyncIterator[WholeTurn]:
    volume.token.write_text(f"{TOKEN}\n")
    async with whole_turn(store, valkey, tmp_path, model, TURN_SECONDS) as parts:
        yield parts


def seconds_of(last: LastTurnRecord) -> float:
    return last.finished_at - last.started_at


@dataclass(frozen=True)
class Cause:
    """What the upstream does, and what must come of it."""

    effect: dict[str, Any]
    status: int
    detail: str = ""
    seconds: float = 30.0
    calls: int | None = None


CAUSES = {
    "400": Cause({"status": 400}, 400),
    "401": Cause({"status": 401}, 401, seconds=15),
    "402": Cause({"status": 402}, 402),
    "403": Cause({"status": 403}, 403),
    "404": Cause({"status": 404}, 404, detail="asked for model"),
    "413": Cause({"status": 413}, 413),
    "429": Cause({"status": 429}, 429),
    "429 with a short wait": Cause({"status": 429, "retry_after": 2}, 429, calls=3),
    "429 with a long wait": Cause(
        {"status": 429, "retry_after": 3600}, 429, "it takes calls again at", seconds=15, calls=1
    ),
    "500": Cause({"status": 500}, 500),
    "529": Cause({"status": 529}, 529),
    "reset": Cause({"reset": True}, 502, "cannot be reached"),
    "stall before the answer": Cause({"stall_before": 150}, 504, "did not answer in time"),
    "stall in the answer": Cause({"stall_mid": 150}, 504, "did not answer in time"),
    "cut stream": Cause({"cut_mid": True}, 502, "cannot be reached"),
    "error in the stream": Cause({"error_mid": True}, 529),
}


async def test_one_run_outlives_every_failure_of_the_upstream(
    parts: WholeTurn, volume: Volume, claude_binary: Path
) -> None:
    async with (
        parts.gateway(parts.model, silence=1.0) as gateway,
        running_runner(gateway, volume, claude_binary, prefix=as_agent()) as parts.runner,
    ):
        await parts.ask("hello")
        for name, cause in CAUSES.items():
            before = await parts.mend()
            await parts.fail(**cause.effect)
            failed = await parts.ask(f"fail with {name}")
            calls = await parts.mend() - before
            after = await parts.ask(f"work after {name}")
            check_failed(name, cause, failed, calls)
            assert after.outcome is TurnOutcome.SUCCEEDED, (name, after)
            assert after.reply == f"some words: work after {name}"
            assert (after.run, after.model_status) == (RUN, None)


def check_failed(name: str, cause: Cause, failed: LastTurnRecord, calls: int) -> None:
    assert failed.outcome is TurnOutcome.MODEL_ERROR, (name, failed)
    assert failed.error_code == f"model_error_{cause.status}", (name, failed)
    assert failed.model_status == cause.status, (name, failed)
    assert cause.detail in failed.model_detail, (name, failed)
    assert seconds_of(failed) < cause.seconds < TURN_SECONDS, (name, failed)
    assert calls >= 1, name
    assert cause.calls is None or calls == cause.calls, (name, calls)


UNREACHABLE = {"refused": "http://127.0.0.1:9", "unknown host": "http://model-api.invalid"}


@pytest.mark.parametrize("upstream", UNREACHABLE.values(), ids=UNREACHABLE.keys())
async def test_an_upstream_that_is_not_there_and_a_gateway_that_is_set_right(
    parts: WholeTurn, volume: Volume, claude_binary: Path, upstream: str
) -> None:
    async with AsyncExitStack() as stack:
        async with parts.gateway(upstream, silence=5.0) as gateway:
            running = running_runner(gateway, volume, claude_binary, prefix=as_agent())
            parts.runner = await stack.enter_async_context(running)
            failed = await parts.ask("hello")
        async with parts.gateway(parts.model, silence=5.0):
            after = await parts.ask("and now it works")
            await stack.aclose()
    assert (failed.outcome, failed.model_status) == (TurnOutcome.MODEL_ERROR, 502)
    assert failed.error_code == "model_error_502"
    assert "ConnectError" in failed.model_detail
    assert "baseURL" in failed.model_detail
    assert seconds_of(failed) < 30
    assert (after.outcome, after.run) == (TurnOutcome.SUCCEEDED, failed.run)


@pytest.mark.parametrize("stall", ["stall_before", "stall_mid"])
async def test_a_stall_longer_than_the_turn_ends_with_the_turns_time(
    store: MailboxStore,
    valkey: Valkey,
    tmp_path: Path,
    model: str,
    volume: Volume,
    claude_binary: Path,
    stall: str,
) -> None:
    volume.token.write_text(f"{TOKEN}\n")
    async with (
        whole_turn(store, valkey, tmp_path, model, 5) as parts,
        parts.gateway(model, silence=120.0) as gateway,
        running_runner(gateway, volume, claude_binary, prefix=as_agent()) as parts.runner,
    ):
        first = await parts.ask("hello")
        await parts.fail(**{stall: 150})
        late = await parts.ask("and now it hangs")
        await parts.mend()
        after = await parts.ask("and now it works")
    assert first.outcome is TurnOutcome.SUCCEEDED
    assert (late.outcome, late.error_code) == (TurnOutcome.TIMED_OUT, "turn_timeout")
    # The turn's own time, and what ending a CLI that may hang takes at most.
    assert 4 < seconds_of(late) < 5 + 8
    assert (after.outcome, after.run) == (TurnOutcome.SUCCEEDED, first.run)
    assert after.reply == "some words: and now it works"
