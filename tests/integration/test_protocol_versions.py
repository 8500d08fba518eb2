"""A gateway that is upgraded before the runners: real CLI, runner and gateway processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.wire import PROTOCOL
from agentsession_dev.model_server.server import demo_rules, serve_in_thread
from agentsession_testing.claude_cli import as_agent
from agentsession_testing.gateway import RUN, TOKEN
from agentsession_testing.gateway_process import of_release
from agentsession_testing.runner_process import Volume, running_runner
from agentsession_testing.valkey import Valkey
from agentsession_testing.whole_turn import whole_turn

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]


@pytest.fixture
def model() -> Iterator[str]:
    with serve_in_thread(rules=demo_rules(), any_key=True) as url:
        yield url


async def test_the_gateway_is_upgraded_under_a_live_run(
    store: MailboxStore,
    valkey: Valkey,
    tmp_path: Path,
    model: str,
    volume: Volume,
    claude_binary: Path,
) -> None:
    volume.token.write_text(f"{TOKEN}\n")
    async with whole_turn(store, valkey, tmp_path, model, 60) as parts:
        async with (
            parts.gateway(model, silence=20) as gateway,
            running_runner(gateway, volume, claude_binary, prefix=as_agent()) as parts.runner,
        ):
            first = await parts.ask("hello")
            assert await gateway.stop() == 0
            async with parts.gateway(model, silence=20, program=of_release(PROTOCOL + 1)):
                second = await parts.ask("what did I say first?")
        assert [last.outcome for last in (first, second)] == [TurnOutcome.SUCCEEDED] * 2
        assert "hello" in second.reply
        assert second.run == RUN


async def test_one_version_ahead_is_served_and_two_are_refused_in_words(
    store: MailboxStore,
    valkey: Valkey,
    tmp_path: Path,
    model: str,
    volume: Volume,
    claude_binary: Path,
) -> None:
    volume.token.write_text(f"{TOKEN}\n")
    async with whole_turn(store, valkey, tmp_path, model, 60) as parts:
        async with (
            parts.gateway(model, silence=20, program=of_release(PROTOCOL + 2)) as gateway,
            running_runner(gateway, volume, claude_binary, prefix=as_agent()) as runner,
        ):
            assert await runner.exit_code() == 3
            assert "update the agent image" in runner.said
        async with (
            parts.gateway(model, silence=20, program=of_release(PROTOCOL + 1)) as gateway,
            running_runner(gateway, volume, claude_binary, prefix=as_agent()) as parts.runner,
        ):
            assert (await parts.ask("hello")).outcome is TurnOutcome.SUCCEEDED
