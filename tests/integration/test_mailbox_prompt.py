"""How messages get into a mailbox, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.answers import PromptAdmission, RunAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.life import EndAnswer
from agentsession_core.mailbox.messages import INCOMING_BYTES, INCOMING_MESSAGES
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.valkey import entries

BOX, UID, RUN, POD = "42", "uid-a", "uid-a/1", "pod-uid-1"


async def prompt(
    store: MailboxStore,
    text: str,
    generation: int,
    *,
    uid: str = UID,
    known: str | None = None,
) -> PromptAdmission:
    return await store.ingest_prompt(
        BOX, uid=uid, generation=generation, sha256=f"sha-{text}", text=text, known_sha256=known
    )


async def texts(redis: Redis) -> list[str]:
    return [fields["text"] for _, fields in await entries(redis, MailboxKeys(BOX).incoming)]


async def test_a_new_prompt_is_a_message(store_either: MailboxStore, redis_either: Redis) -> None:
    assert await prompt(store_either, "hello", 1) is PromptAdmission.NEW
    [(_, entry)] = await entries(redis_either, MailboxKeys(BOX).incoming)
    assert float(entry.pop("at")) > 0
    assert entry == {
        "id": "uid-a.1",
        "source": "prompt",
        "chat": "",
        "conversation": "1",
        "text": "hello",
        "files": "[]",
    }
    state = await store_either.state(BOX)
    assert (state.waiting, state.session_uid, state.prompt_hash) == (1, UID, "sha-hello")
    assert state.last_activity is not None
    assert state.now - state.last_activity < 60
    assert await store_either.backlog() == [BOX]
    assert await store_either.mailboxes() == [BOX]
    [(_, hint)] = await entries(redis_either, keys.SESSIONS_EVENTS)
    assert hint == {"mailbox": "42", "kind": "message"}


@pytest.mark.parametrize(
    ("steps", "answers", "waiting"),
    [
        pytest.param([("a", 1), ("a", 1)], ["new", "known"], ["a"], id="same generation again"),
        pytest.param([("a", 1), ("a", 2)], ["new", "known"], ["a"], id="same text, later"),
        pytest.param(
            [("a", 1), ("b", 2), ("a", 3)], ["new", "new", "new"], ["a", "b", "a"], id="A-B-A"
        ),
        pytest.param([("a", 5), ("b", 4)], ["new", "outdated"], ["a"], id="older generation"),
        pytest.param([("a", 5), ("b", 5)], ["new", "outdated"], ["a"], id="same generation, other"),
        pytest.param(
            [("a", 1), ("a", 3), ("b", 2)], ["new", "known", "outdated"], ["a"], id="seen later"
        ),
    ],
)
async def test_changes_of_one_session(
    store_either: MailboxStore,
    redis_either: Redis,
    steps: list[tuple[str, int]],
    answers: list[str],
    waiting: list[str],
) -> None:
    assert [await prompt(store_either, text, generation) for text, generation in steps] == answers
    assert await texts(redis_either) == waiting


async def test_a_restored_session_does_not_run_its_prompt_again(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await prompt(store_either, "a", 7)
    assert await prompt(store_either, "a", 1, uid="uid-b") is PromptAdmission.KNOWN
    # From now on the generations of the new object count.
    assert await prompt(store_either, "b", 2, uid="uid-b") is PromptAdmission.NEW
    assert await texts(redis_either) == ["a", "b"]


async def test_another_sessions_other_prompt_is_new_at_any_generation(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await prompt(store_either, "a", 7)
    assert await prompt(store_either, "b", 1, uid="uid-b") is PromptAdmission.NEW
    assert await texts(redis_either) == ["a", "b"]


async def test_status_stands_in_when_redis_is_empty(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    assert await prompt(store_either, "a", 4, known="sha-a") is PromptAdmission.KNOWN
    assert await texts(redis_either) == []
    assert await prompt(store_either, "b", 5, known="sha-a") is PromptAdmission.NEW
    # Redis knows again: a status that lags behind changes nothing.
    assert await prompt(store_either, "a", 6, known="sha-a") is PromptAdmission.NEW
    assert await texts(redis_either) == ["b", "a"]


async def test_full_by_number(store_either: MailboxStore, redis_either: Redis) -> None:
    for number in range(INCOMING_MESSAGES):
        assert await prompt(store_either, f"t{number}", number + 1) is PromptAdmission.NEW
    assert await prompt(store_either, "one more", 500) is PromptAdmission.FULL
    assert (await store_either.state(BOX)).prompt_hash == f"sha-t{INCOMING_MESSAGES - 1}"
    await redis_either.xtrim(MailboxKeys(BOX).incoming, maxlen=10)
    assert await prompt(store_either, "one more", 500) is PromptAdmission.NEW


async def test_full_by_bytes_until_the_turn_is_done(store_either: MailboxStore) -> None:
    half = "ä" * (INCOMING_BYTES // 4)
    assert await prompt(store_either, half, 1) is PromptAdmission.NEW
    assert await prompt(store_either, half + "b", 2) is PromptAdmission.FULL
    await begin(store_either)
    await store_either.begin_turn(BOX, run=RUN, pod_uid=POD, turn="t1", timeout_seconds=60)
    await store_either.commit_result(
        BOX, run=RUN, turn="t1", result=ResultRecord(TurnOutcome.SUCCEEDED, "ok")
    )
    assert await prompt(store_either, half + "b", 2) is PromptAdmission.NEW


async def test_bytes_of_entries_added_by_hand_are_never_counted_below_zero(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": "x" * 1000})
    await prompt(store_either, "counted", 1)
    await begin(store_either)
    await store_either.begin_turn(BOX, run=RUN, pod_uid=POD, turn="t1", timeout_seconds=60)
    await store_either.commit_result(
        BOX, run=RUN, turn="t1", result=ResultRecord(TurnOutcome.SUCCEEDED, "ok")
    )
    assert await redis_either.hget(MailboxKeys(BOX).state, "incoming_bytes") == b"0"


async def test_a_message_reopens_a_closed_mailbox(store_either: MailboxStore) -> None:
    assert await store_either.close(BOX, session_uid=UID)
    assert (await store_either.state(BOX)).closed
    await prompt(store_either, "a", 1)
    assert not (await store_either.state(BOX)).closed


async def test_close_is_refused_while_there_is_work(store_either: MailboxStore) -> None:
    await prompt(store_either, "a", 1)
    assert not await store_either.close(BOX, session_uid=UID)
    assert not (await store_either.state(BOX)).closed
    await begin(store_either)
    await store_either.begin_turn(BOX, run=RUN, pod_uid=POD, turn="t1", timeout_seconds=60)
    assert not await store_either.close(BOX, session_uid=UID)
    await store_either.commit_result(
        BOX, run=RUN, turn="t1", result=ResultRecord(TurnOutcome.SUCCEEDED, "ok")
    )
    assert await store_either.close(BOX, session_uid=UID)


async def test_close_is_taken_back_by_its_own_session_only(store_either: MailboxStore) -> None:
    await store_either.close(BOX, session_uid=UID)
    await store_either.reopen(BOX, session_uid="uid-b")
    assert (await store_either.state(BOX)).closed
    await store_either.reopen(BOX, session_uid=UID)
    assert not (await store_either.state(BOX)).closed


async def test_a_session_without_the_mailbox_closes_and_ends_nothing(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await prompt(store_either, "a", 1)
    assert await store_either.close(BOX, session_uid="uid-b")
    state = await store_either.state(BOX)
    assert (state.closed, state.session_uid) == (False, UID)
    answer = await store_either.end_mailbox(BOX, session_uid="uid-b", text="gone")
    assert answer is EndAnswer.TAKEN
    assert await texts(redis_either) == ["a"]


async def test_the_end_leaves_no_key_of_the_mailbox(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await prompt(store_either, "a", 1)
    await begin(store_either)
    await store_either.begin_turn(BOX, run=RUN, pod_uid=POD, turn="t1", timeout_seconds=60)
    await store_either.publish_events(BOX, "t1", "prompt", [(1, "delta", {"text": "…"})])
    await store_either.add_usage(BOX, "user", "2026-11-23", {"input_tokens": 1})
    assert await store_either.end_mailbox(BOX, session_uid=UID, text="gone") is not EndAnswer.TAKEN
    left = await redis_either.keys("*")
    known = [
        b"sessions:epoch",
        b"sessions:events",
        b"usage:user:2026-11-23",
        MailboxKeys(BOX).ended.encode(),
    ]
    assert set(left) == set(known)
    assert await store_either.end_mailbox(BOX, session_uid=UID, text="gone") is not EndAnswer.TAKEN
    # The same text runs again in a session that is made anew.
    assert await prompt(store_either, "a", 1, uid="uid-b") is PromptAdmission.NEW


async def begin(store: MailboxStore) -> None:
    assert await store.begin_run(BOX, run=RUN, expected="", session_uid=UID, launch=LaunchType.COLD)
    answer = await store.hello(BOX, run=RUN, pod_uid=POD, pod="pod")
    assert answer.answer is RunAnswer.OK
