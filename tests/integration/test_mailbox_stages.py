"""The stages of a message's way, as the scripts stamp them: each told once, by Redis' clock."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.observer import Observer
from agentsession_core.mailbox.parse import read_fields
from agentsession_core.mailbox.stages import Passed, Stage, read_passed
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import BOX, NEXT_RUN, OK, POD, RUN, UID, turn
from agentsession_testing.valkey import entries

K = MailboxKeys(BOX)
START = [Stage.WAKE, Stage.JOB_MADE, Stage.POD_STARTED, Stage.HELLO, Stage.TURN_GIVEN]


class Seen(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.stages: list[Passed] = []
        self.starts: list[tuple[str, float]] = []

    def stage_passed(self, passed: Passed) -> None:
        self.stages.append(passed)

    def run_greeted(self, launch: str, seconds: float) -> None:
        self.starts.append((launch, seconds))

    def take(self) -> list[tuple[str, str]]:
        """Stages and launch types since the last time; they are in order and none is long ago."""
        taken, self.stages = self.stages, []
        seconds = [passed.seconds for passed in taken]
        assert seconds == sorted(seconds)
        assert all(0 <= value < 60 for value in seconds)
        return [(passed.stage, passed.launch) for passed in taken]


@pytest.fixture
def seen(store: MailboxStore) -> Seen:
    observer = Seen()
    store.observe(observer)
    return observer


async def say(store: MailboxStore, message: str) -> None:
    new = NewMessage(source=Source.TELEGRAM, id=message, chat="42", text="hello")
    await store.ingest(BOX, new)


async def start(
    store: MailboxStore, launch: LaunchType, run: str = RUN, expected: str = ""
) -> None:
    await store.begin_run(BOX, run=run, expected=expected, session_uid=UID, launch=launch)
    await store.job_made(BOX, run=run)
    await store.hello(BOX, run=run, pod_uid=POD, pod="pod", uptime=0.0)


async def test_a_cold_start_passes_every_stage_once(store: MailboxStore, seen: Seen) -> None:
    await say(store, "m1")
    await start(store, LaunchType.COLD)
    await start(store, LaunchType.COLD)
    await turn(store)
    await turn(store)
    assert seen.take() == [(stage, "cold") for stage in START]
    assert [launch for launch, _ in seen.starts] == ["cold"]
    for stage in (Stage.MODEL_REQUEST, Stage.FIRST_TOKEN):
        for _ in range(2):
            await store.pass_stage(BOX, turn="t1", stage=stage)
        await store.pass_stage(BOX, turn="another", stage=stage)
        assert seen.take() == [(stage, "cold")]
    for _ in range(2):
        await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
    assert seen.take() == [(Stage.RESULT, "cold")]


async def test_a_run_that_waited_has_no_start_in_the_messages_way(
    store: MailboxStore, seen: Seen, redis_client: Redis
) -> None:
    await start(store, LaunchType.RESUME)
    await say(store, "m1")
    await turn(store)
    await say(store, "m2")
    assert seen.take() == [(Stage.TURN_GIVEN, "warm")]
    await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
    assert seen.take() == [(Stage.RESULT, "warm")]
    await turn(store, "t2")
    assert seen.take() == [(Stage.TURN_GIVEN, "behind")]
    [(_, answer)] = await entries(redis_client, K.outgoing)
    assert answer["launch"] == "warm"
    assert float(answer["came_at"]) < float(answer["at"])


async def test_a_turn_that_another_run_takes_over_is_not_given_a_second_time(
    store: MailboxStore, seen: Seen
) -> None:
    await say(store, "m1")
    await start(store, LaunchType.COLD)
    await turn(store)
    await store.pass_stage(BOX, turn="t1", stage=Stage.FIRST_TOKEN)
    seen.take()
    await start(store, LaunchType.RESUME, NEXT_RUN, RUN)
    await turn(store, run=NEXT_RUN)
    await store.pass_stage(BOX, turn="t1", stage=Stage.FIRST_TOKEN)
    assert seen.take() == []
    await store.commit_result(BOX, run=NEXT_RUN, turn="t1", result=OK)
    assert seen.take() == [(Stage.RESULT, "cold")]


async def test_a_runner_cannot_have_begun_before_its_run_nor_after_its_hello(
    store: MailboxStore, redis_client: Redis
) -> None:
    for uptime, run, expected in ((80_000.0, RUN, ""), (-5.0, NEXT_RUN, RUN)):
        await store.begin_run(
            BOX, run=run, expected=expected, session_uid=UID, launch=LaunchType.COLD
        )
        await store.hello(BOX, run=run, pod_uid=POD, pod="pod", uptime=uptime)
        record = read_fields(await redis_client.hgetall(K.run))
        begun, started, hello = (
            float(record[name]) for name in ("begun_at", "started_at", "hello_at")
        )
        assert begun <= started <= hello


async def test_an_entry_by_hand_has_the_time_of_its_place(
    store: MailboxStore, seen: Seen, redis_client: Redis
) -> None:
    """Whoever adds it may leave its time out, or write anything into it."""
    for at in ("", "yesterday", "nan", "99999999999"):
        await redis_client.xadd(K.incoming, {"text": "by hand", "at": at})
        await start(store, LaunchType.COLD)
        await turn(store)
        await store.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert all(0 <= passed.seconds < 60 for passed in seen.stages)
        await redis_client.delete(K.last, K.run)
    assert (Stage.TURN_GIVEN, "cold") in [(passed.stage, passed.launch) for passed in seen.stages]


def test_a_stage_before_the_messages_coming_is_not_on_its_way() -> None:
    stamps = {"came": "10.000000", "launch": "warm", "hello": "9.999999", "turn_given": "10.250000"}
    assert read_passed(json.dumps(stamps)) == (Passed(Stage.TURN_GIVEN, "warm", 0.25),)
    assert read_passed("") == ()
