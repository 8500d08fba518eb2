"""Files of a mailbox, on their way in and out, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.answers import CommitAnswer
from agentsession_core.mailbox.contract import FileReference, NewMessage, Source
from agentsession_core.mailbox.files import FILE_SECONDS, FileAnswer
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.wire import TurnFile
from agentsession_testing.mailboxes import BOX, NEXT_RUN, POD, RUN, UID, begin, turn
from agentsession_testing.valkey import entries

PHOTO = FileReference(id="AQAD", ref="telegrams-own-id", name="photo.jpg", size=12, kind="photo")
SENT = {"turn": "t1", "number": 0}


def message(source: Source = Source.TELEGRAM, **more: object) -> NewMessage:
    return NewMessage.model_validate(
        {"source": source, "id": "m1", "chat": "7", "text": "look", **more}
    )


@pytest.fixture
async def box(store_either: MailboxStore) -> MailboxStore:
    """A mailbox with a turn that runs: a message with a photo."""
    await begin(store_either)
    await store_either.ingest(BOX, message(files=(PHOTO,)))
    await turn(store_either)
    return store_either


async def begin_file(store: MailboxStore, number: int = 0, size: int = 6, name: str = "a") -> str:
    begun = await store.begin_file(BOX, turn="t1", number=number, name=name, size=size)
    assert begun.answer is FileAnswer.OK
    return begun.upload


async def commit(store: MailboxStore, *files: int, run: str = RUN) -> CommitAnswer:
    result = ResultRecord(TurnOutcome.SUCCEEDED, "done", files=files)
    return await store.commit_result(BOX, run=run, turn="t1", result=result)


async def test_a_turn_has_its_files_without_their_sources_name_for_them(
    store_either: MailboxStore,
) -> None:
    await begin(store_either)
    await store_either.ingest(BOX, message(files=(PHOTO,)))
    grant = await turn(store_either)
    [given] = grant.messages
    assert given.attachments == (TurnFile(id="AQAD", name="photo.jpg", size=12, kind="photo"),)
    assert PHOTO.ref not in str(given.to_wire())
    assert await store_either.turn_file(BOX, "t1", "AQAD") == PHOTO


async def test_files_of_other_turns_and_mailboxes_are_not_found(box: MailboxStore) -> None:
    await box.ingest(BOX, message(id="m2", files=(PHOTO.model_copy(update={"id": "next"}),)))
    assert await box.turn_file(BOX, "t1", "next") is None
    assert await box.turn_file(BOX, "t0", "AQAD") is None
    assert await box.turn_file("other", "t1", "AQAD") is None


async def test_what_is_put_in_by_hand_is_read_as_far_as_it_makes_sense(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    await begin(store_either)
    unfit, fit = ({"id": one, "ref": "r", "name": "n"} for one in ("../x", "ok"))
    by_hand = json.dumps(["notes.txt", unfit, fit, 3])
    await redis_either.xadd(MailboxKeys(BOX).incoming, {"text": "hi", "files": by_hand})
    [given] = (await turn(store_either)).messages
    assert (given.files, [file.id for file in given.attachments]) == (("notes.txt",), ["ok"])


async def test_it_goes_out_behind_the_answer_and_not_before_the_result(
    box: MailboxStore, redis_either: Redis
) -> None:
    for number, name in ((0, "a.txt"), (1, "b.txt")):
        upload = await begin_file(box, number, name=name)
        for offset, piece in ((0, b"\x00\xff\r"), (3, b"\nxy")):
            taken = await box.append_file(
                BOX, turn="t1", number=number, upload=upload, offset=offset, piece=piece
            )
        assert taken.complete
    assert await entries(redis_either, MailboxKeys(BOX).outgoing) == []
    assert await commit(box, 1, 0) is CommitAnswer.COMMITTED
    assert await commit(box, 1, 0) is CommitAnswer.ALREADY
    said = [fields for _, fields in await entries(redis_either, MailboxKeys(BOX).outgoing)]
    assert [(one["kind"], one["text"]) for one in said] == [
        ("answer", "done"),
        ("file", "b.txt"),
        ("file", "a.txt"),
    ]
    assert [one.get("file") for one in said] == [None, "t1.1", "t1.0"]
    held = await box.held_file(BOX, "t1.0")
    assert held is not None
    assert (held.name, held.size) == ("a.txt", 6)
    pieces = [await box.file_piece(BOX, "t1.0", index) for index in range(3)]
    assert pieces == [b"\x00\xff\r", b"\nxy", None]
    for key in (MailboxKeys(BOX).files, MailboxKeys(BOX).file("t1.0")):
        assert FILE_SECONDS - 60 < await redis_either.ttl(key) <= FILE_SECONDS
    await box.drop_file(BOX, "t1.0")
    assert await box.held_file(BOX, "t1.0") is None


async def test_half_a_file_never_goes_out(box: MailboxStore, redis_either: Redis) -> None:
    upload = await begin_file(box)
    await box.append_file(BOX, **SENT, upload=upload, offset=0, piece=b"abc")  # type: ignore[arg-type]
    assert await box.held_file(BOX, "t1.0") is None
    await commit(box, 0, 7)
    [(_, answer)] = await entries(redis_either, MailboxKeys(BOX).outgoing)
    assert answer["kind"] == "answer"


async def test_a_piece_that_comes_twice_is_there_once_and_one_too_much_never(
    box: MailboxStore,
) -> None:
    upload = await begin_file(box)

    async def add(offset: int, piece: bytes, of: str = upload) -> FileAnswer:
        return (
            await box.append_file(BOX, **SENT, upload=of, offset=offset, piece=piece)  # type: ignore[arg-type]
        ).answer

    assert await add(0, b"abc") is FileAnswer.OK
    assert await add(0, b"abc") is FileAnswer.OK
    assert await add(1, b"xyz") is FileAnswer.GONE
    assert await add(3, b"defg") is FileAnswer.TOO_LARGE
    later = await begin_file(box)
    assert await add(3, b"def") is FileAnswer.GONE
    assert await add(0, b"123456", later) is FileAnswer.OK
    assert await box.file_piece(BOX, "t1.0", 0) == b"123456"
    assert await box.file_piece(BOX, "t1.0", 1) is None


async def test_a_mailbox_holds_100_mb(box: MailboxStore, redis_either: Redis) -> None:
    for number in (0, 1):
        await begin_file(box, number, 50_000_000)
    begun = await box.begin_file(BOX, turn="t1", number=2, name="c", size=1)
    assert begun.answer is FileAnswer.FULL
    # In the place of another there is room, and so there is when one has had its day.
    await begin_file(box, 1, 49_000_000)
    await begin_file(box, 2, 1_000_000)


async def test_files_take_no_more_than_half_of_redis(
    box: MailboxStore, redis_either: Redis
) -> None:
    used = (await redis_either.info("memory"))["used_memory"]
    await redis_either.config_set("maxmemory", used * 2 + 4_000_000)
    try:
        begun = await box.begin_file(BOX, turn="t1", number=0, name="c", size=10_000_000)
        assert begun.answer is FileAnswer.STORE_FULL
        await begin_file(box, 0, 1000)
    finally:
        await redis_either.config_set("maxmemory", 0)


async def test_only_the_running_turn_of_a_chat_sends(store_either: MailboxStore) -> None:
    await begin(store_either)
    await store_either.ingest(BOX, message(Source.TERMINAL))
    await turn(store_either)
    begun = await store_either.begin_file(BOX, turn="t1", number=0, name="c", size=1)
    assert begun.answer is FileAnswer.NO_CHAT
    begun = await store_either.begin_file(BOX, turn="t0", number=0, name="c", size=1)
    assert begun.answer is FileAnswer.UNKNOWN_TURN


async def test_a_turn_that_is_done_again_sends_its_files_once(
    box: MailboxStore, redis_either: Redis
) -> None:
    await begin_file(box)
    await box.end_run(BOX, run=RUN, reason="x", message="", counted=False)
    await box.begin_run(BOX, run=NEXT_RUN, expected=RUN, session_uid=UID, launch="resume")  # type: ignore[arg-type]
    await box.hello(BOX, run=NEXT_RUN, pod_uid=POD, pod="p")
    await turn(box, run=NEXT_RUN)
    upload = await begin_file(box)
    await box.append_file(BOX, **SENT, upload=upload, offset=0, piece=b"second")  # type: ignore[arg-type]
    assert await commit(box, 0) is CommitAnswer.STALE
    assert await commit(box, 0, run=NEXT_RUN) is CommitAnswer.COMMITTED
    said = [fields["kind"] for _, fields in await entries(redis_either, MailboxKeys(BOX).outgoing)]
    assert said == ["answer", "file"]
