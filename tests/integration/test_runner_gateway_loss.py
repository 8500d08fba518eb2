"""The runner as a process whose gateway goes away: nothing lost, nothing twice, no busy waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentsession_core.wire import DrainOrder
from agentsession_testing.runner_gateway import running_gateway, turn
from agentsession_testing.runner_process import Volume, running_runner
from agentsession_testing.serving import until_true

# Growing pauses from 0.1 s: stream, result and events of a turn together try less than this.
TRIES_IN_AWAY_TIME = 40
AWAY_SECONDS = 3.0


async def test_a_gateway_lost_in_a_turn_gets_the_result_when_it_is_back(
    volume: Volume, cli: Path
) -> None:
    order = turn("t1", "gated work")
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(order, standing=True)
        await until_true((volume.root / "started").exists, "the turn's work")
        await gateway.go_away()
        (volume.root / "open").touch()
        await until_true(
            lambda: "the result of turn t1 was not taken" in runner.said, "a lost result"
        )
        await gateway.come_back()
        result = await gateway.result_of("t1")
        await gateway.ready()
        gateway.standing_orders.clear()
        gateway.order(turn("t2", "next"))
        after = await gateway.result_of("t2")
        gateway.order(DrainOrder())
        assert await runner.exit_code() == 0, runner.said
    assert (result.outcome, result.text) == ("Succeeded", "1: gated work")
    assert after.text == "2: next"
    assert [name for name, _ in gateway.results] == ["t1", "t2"]
    assert len(gateway.hellos) == 1


async def test_a_turn_whose_model_calls_met_no_gateway_goes_on_when_it_is_back(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "cut work"), standing=True)
        await until_true((volume.root / "started").exists, "the turn's work")
        await gateway.go_away()
        await until_true(lambda: "connecting again" in runner.said, "a try without a gateway")
        (volume.root / "open").touch()
        await until_true(lambda: "it goes on when the gateway is back" in runner.said, "the loss")
        await gateway.come_back()
        result = await gateway.result_of("t1")
    assert result.outcome == "Succeeded"
    assert result.text.startswith("2: [The connection to the model was lost")
    assert [name for name, _ in gateway.results] == ["t1"]


async def test_model_calls_refused_with_the_gateway_there_are_the_models_error(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        (volume.root / "open").touch()
        gateway.order(turn("t1", "cut work"))
        result = await gateway.result_of("t1")
    assert result.error is not None
    assert (result.outcome, result.error.code) == ("ModelError", "model_error_connection")


async def test_a_turn_that_waits_for_the_gateway_ends_with_its_time(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "cut work", remaining_seconds=4.0))
        await until_true((volume.root / "started").exists, "the turn's work")
        await gateway.go_away()
        await until_true(lambda: "connecting again" in runner.said, "a try without a gateway")
        (volume.root / "open").touch()
        await until_true(lambda: "turn t1 ended ModelError" in runner.said, "the turn's end")
        await gateway.come_back()
        result = await gateway.result_of("t1")
    assert result.error is not None
    assert result.error.code == "model_error_connection"


async def test_a_gateway_lost_between_turns_is_found_again(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "one"))
        await gateway.result_of("t1")
        await gateway.go_away()
        await until_true(lambda: "connecting again" in runner.said, "a try without a gateway")
        await gateway.come_back()
        await gateway.ready()
        gateway.order(turn("t2", "two"))
        second = await gateway.result_of("t2")
    assert second.text == "2: two"
    assert len(gateway.hellos) == 1


async def test_a_gateway_that_is_late_for_hello_is_waited_for(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway:
        await gateway.go_away()
        async with running_runner(gateway, volume, cli) as runner:
            await until_true(lambda: runner.said.count("trying again") >= 3, "tries of hello")
            await gateway.come_back()
            await gateway.ready()
            gateway.order(turn("t1", "hi"))
            result = await gateway.result_of("t1")
    assert result.text == "1: hi"


async def test_a_broken_gateway_is_not_asked_without_pause(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "gated"), standing=True)
        await until_true((volume.root / "started").exists, "the turn's work")
        before = gateway.accepted
        gateway.is_broken = True
        gateway.close()
        (volume.root / "open").touch()
        await until_true(
            lambda: "the result of turn t1 was not taken" in runner.said, "a lost result"
        )
        await asyncio.sleep(AWAY_SECONDS)
        assert gateway.accepted - before < TRIES_IN_AWAY_TIME, gateway.log
        gateway.is_broken = False
        assert (await gateway.result_of("t1")).text == "1: gated"


async def test_a_stream_that_gives_a_turn_and_ends_is_not_opened_without_pause(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "gated"), standing=True)
        await until_true((volume.root / "started").exists, "the turn's work")
        before = gateway.accepted
        loop = asyncio.get_running_loop()
        end = loop.time() + AWAY_SECONDS
        while loop.time() < end:
            gateway.close_streams()
            await asyncio.sleep(0.01)
        assert gateway.accepted - before < TRIES_IN_AWAY_TIME, gateway.log
        (volume.root / "open").touch()
        assert (await gateway.result_of("t1")).text == "1: gated"


async def test_told_to_end_while_the_gateway_is_away_it_ends(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "one"))
        await gateway.result_of("t1")
        await gateway.go_away()
        await until_true(lambda: "connecting again" in runner.said, "a try without a gateway")
        runner.terminate()
        assert await runner.exit_code() == 0, runner.said


async def test_an_undelivered_result_is_left_to_the_next_run(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway:
        async with running_runner(gateway, volume, cli) as runner:
            await gateway.ready()
            gateway.order(turn("t1", "gated"))
            await until_true((volume.root / "started").exists, "the turn's work")
            await gateway.go_away()
            (volume.root / "open").touch()
            await until_true(lambda: "was not taken" in runner.said, "a lost result")
            runner.terminate()
            assert await runner.exit_code() == 0, runner.said
        assert gateway.results == []
        await gateway.come_back()
        async with running_runner(gateway, volume, cli):
            await gateway.ready()
            gateway.order(turn("t1", "gated", attempt=2))
            result = await gateway.result_of("t1")
    # The stand-in does not take the second attempt for `gated`: a sentence stands before it.
    assert result.text.startswith("2: [This message was given to you before")
