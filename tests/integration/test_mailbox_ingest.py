"""People's messages, against a real Valkey in both versions of its protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from agentsession_core.mailbox.answers import Admission, IngestAnswer
from agentsession_core.mailbox.contract import (
    PER_INSTALLATION,
    PER_MAILBOX,
    FileReference,
    MailboxHash,
    Source,
    TurnHash,
)
from agentsession_core.mailbox.decisions import Decisions
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.letters import GivenUp
from agentsession_core.mailbox.life import EndAnswer
from agentsession_core.mailbox.messages import (
    INCOMING_BYTES,
    INCOMING_MESSAGES,
    OUTGOING_BYTES,
    SEEN_SECONDS,
)
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.wire import TurnFile
from agentsession_testing.mailboxes import (
    BOX,
    OK,
    RUN,
    UID,
    begin,
    hints,
    message,
    prompt,
    turn,
)
from agentsession_testing.valkey import entries

NEW = IngestAnswer(Admission.NEW, 1, reopened=False)
K = MailboxKeys(BOX)


class TestIngest:
    async def test_a_message(self, store_either: MailboxStore, redis_either: Redis) -> None:
        files = (FileReference(id="u1", ref="r1", name="ä.png", size=3, kind="photo"),)
        assert await store_either.ingest(BOX, message(text="Grüße\x00", files=files)) == NEW
        [(_, entry)] = await entries(redis_either, K.incoming)
        assert float(entry.pop("at")) > 0
        assert entry == {
            "id": "m1",
            "source": "telegram",
            "chat": "7",
            "conversation": "1",
            "text": "Grüße\x00",
            "files": '[{"id": "u1", "ref": "r1", "name": "ä.png", "size": 3, "kind": "photo"}]',
        }
        state = await store_either.state(BOX)
        assert (state.waiting, state.session_uid, state.closed) == (1, None, False)
        assert state.last_activity is not None
        assert await store_either.backlog() == [BOX]
        assert await store_either.mailboxes() == [BOX]
        assert await hints(redis_either) == ["message"]
        seen = await redis_either.ttl(K.seen("telegram", "m1"))
        assert SEEN_SECONDS - 60 < seen <= SEEN_SECONDS

    async def test_twice_is_once(self, store_either: MailboxStore, redis_either: Redis) -> None:
        answers = await asyncio.gather(
            *(store_either.ingest(BOX, message(), new_conversation=True) for _ in range(5))
        )
        assert sorted(answer.admission for answer in answers) == ["known"] * 4 + ["new"]
        assert {answer.conversation for answer in answers} == {2}
        assert await redis_either.xlen(K.incoming) == 1

    async def test_also_after_its_answer(self, store_either: MailboxStore) -> None:
        await store_either.ingest(BOX, message())
        await begin(store_either)
        await turn(store_either)
        await store_either.commit_result(BOX, run=RUN, turn="t1", result=OK)
        again = await store_either.ingest(BOX, message())
        assert again.admission is Admission.KNOWN
        assert (await store_either.state(BOX)).waiting == 0

    async def test_ids_of_two_sources_are_two(self, store_either: MailboxStore) -> None:
        await store_either.ingest(BOX, message())
        assert await store_either.ingest(BOX, message(source=Source.API)) == NEW

    @pytest.mark.parametrize("source", [Source.TELEGRAM, Source.TERMINAL, Source.API])
    async def test_is_a_turn(self, store_either: MailboxStore, source: Source) -> None:
        await begin(store_either)
        await store_either.ingest(
            BOX, message(source=source, files=(FileReference(id="a", ref="r", name="n"),))
        )
        grant = await turn(store_either)
        [given] = grant.messages
        assert (given.id, given.text, given.attachments) == (
            "m1",
            "hello",
            (TurnFile(id="a", name="n"),),
        )
        record = (await store_either.state(BOX)).turn
        assert record is not None
        assert record.source == source

    @pytest.mark.parametrize(
        "fields",
        [{"source": "prompt"}, {"source": "fax"}, {"id": ""}, {"id": "x" * 257}, {"text": b"x"}],
        ids=str,
    )
    def test_what_is_none(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            message(**{"name": fields.pop("id", "m1"), **fields})

    async def test_refused_beyond_100_messages_and_not_remembered(
        self, store_either: MailboxStore
    ) -> None:
        for number in range(INCOMING_MESSAGES):
            answer = await store_either.ingest(BOX, message(f"m{number}"))
            assert answer.admission is Admission.NEW
        answer = await store_either.ingest(BOX, message("late"), new_conversation=True)
        assert (answer.admission, answer.conversation) == (Admission.TOO_MANY, 1)
        assert answer.admission.is_refusal
        await begin(store_either)
        await turn(store_either)
        await store_either.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert await store_either.ingest(BOX, message("late")) == NEW

    async def test_refused_beyond_1_mib(self, store_either: MailboxStore) -> None:
        half = "x" * (INCOMING_BYTES // 2 - 2)
        await store_either.ingest(BOX, message("m1", half))
        await store_either.ingest(BOX, message("m2", half))
        answer = await store_either.ingest(BOX, message("m3", ""))
        assert answer.admission is Admission.TOO_LARGE
        await begin(store_either)
        await turn(store_either)
        await store_either.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert await store_either.ingest(BOX, message("m3", half + half)) == NEW

    async def test_refused_while_8_mib_of_answers_wait(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        for _ in range(9):
            await redis_either.xadd(K.outgoing, {"text": "x" * (OUTGOING_BYTES // 8)})
        answer = await store_either.ingest(BOX, message())
        assert answer.admission is Admission.UNDELIVERED
        # A terminal's answers do not go there.
        assert await store_either.ingest(BOX, message(source=Source.TERMINAL)) == NEW
        assert answer.admission.is_refusal
        await redis_either.xtrim(K.outgoing, maxlen=4, approximate=False)
        assert await store_either.ingest(BOX, message()) == NEW


class TestConversations:
    async def test_each_message_carries_its_own(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        await begin(store_either)
        await redis_either.hset(K.state, "agent_session_id", "of-the-first")
        await store_either.ingest(BOX, message("m1"))
        raised = await store_either.ingest(BOX, message("m2"), new_conversation=True)
        await store_either.ingest(BOX, message("m3"))
        assert raised.conversation == 2
        found = await entries(redis_either, K.incoming)
        assert [entry["conversation"] for _, entry in found] == ["1", "2", "2"]
        state = await store_either.state(BOX)
        assert (state.conversation, state.agent_session_id) == (2, None)
        assert [m.id for m in (await turn(store_either)).messages] == ["m1"]
        # The late result of the old conversation does not name the new one.
        await store_either.commit_result(BOX, run=RUN, turn="t1", result=OK)
        grant = await turn(store_either, "t2")
        assert ([m.id for m in grant.messages], grant.conversation) == (["m2", "m3"], 2)
        assert (await store_either.state(BOX)).agent_session_id is None

    async def test_new_without_a_word_is_no_message(
        self, store_either: MailboxStore, redis_either: Redis
    ) -> None:
        answer = await store_either.ingest(BOX, message(text=""), new_conversation=True)
        assert answer == IngestAnswer(Admission.NEW, 2, reopened=False)
        again = await store_either.ingest(BOX, message(text=""), new_conversation=True)
        assert again == IngestAnswer(Admission.KNOWN, 2, reopened=False)
        assert await redis_either.xlen(K.incoming) == 0
        assert await store_either.backlog() == []


class TestClosedMailbox:
    @pytest.fixture
    async def closed(self, store_either: MailboxStore) -> MailboxStore:
        await prompt(store_either)
        await begin(store_either)
        await turn(store_either)
        await store_either.commit_result(BOX, run=RUN, turn="t1", result=OK)
        assert await store_either.close(BOX, session_uid=UID)
        return store_either

    async def test_is_opened_and_says_so_however_often(self, closed: MailboxStore) -> None:
        first = await closed.ingest(BOX, message())
        assert first == IngestAnswer(Admission.NEW, 1, reopened=True)
        assert not (await closed.state(BOX)).closed
        again = await closed.ingest(BOX, message())
        assert again == IngestAnswer(Admission.KNOWN, 1, reopened=True)
        assert await closed.ingest(BOX, message("m2")) == NEW

    async def test_the_message_outlives_the_clean_up_and_nothing_else_does(
        self, closed: MailboxStore, redis_either: Redis
    ) -> None:
        await closed.ingest(BOX, message())
        assert await closed.end_mailbox(BOX, session_uid=UID, text="gone") is not EndAnswer.TAKEN
        state = await closed.state(BOX)
        assert (state.waiting, state.session_uid, state.closed) == (1, None, False)
        assert (state.run, state.last, state.prompt_hash, state.agent_session_id) == (None,) * 4
        assert await closed.backlog() == [BOX]
        await begin(closed, "uid-b/1")
        grant = await turn(closed, run="uid-b/1")
        assert [m.id for m in grant.messages] == ["m1"]

    async def test_the_session_was_not_deleted_after_all(self, closed: MailboxStore) -> None:
        await closed.ingest(BOX, message())
        await closed.reopen(BOX, session_uid=UID)
        state = await closed.state(BOX)
        assert state.agent_session_id == "conversation-id"
        await closed.end_mailbox(BOX, session_uid=UID, text="gone")
        assert (await closed.state(BOX)).waiting == 0

    async def test_without_a_message_all_goes(
        self, closed: MailboxStore, redis_either: Redis
    ) -> None:
        assert await closed.end_mailbox(BOX, session_uid=UID, text="gone") is not EndAnswer.TAKEN
        assert await redis_either.keys(f"user:{BOX}:*") == [K.ended.encode()]


async def test_everything_is_written_as_the_contract_says(
    store_either: MailboxStore, redis_either: Redis
) -> None:
    """Strictly: an unknown or missing field, or a value of another shape, is an error here."""
    await begin(store_either)
    for number in range(2):
        await store_either.ingest(BOX, message(f"m{number}", chat=str(number)))
    await turn(store_either)
    await store_either.model_status(BOX, turn="t1", status=500, code="c", detail="d")
    await store_either.respond(BOX, run=RUN, response="r", text="t")
    await store_either.request_cancel(BOX, by="api")
    await Decisions(redis_either).decide(
        approval="0123456789ab", approved=True, user="42", mailbox="42", by="telegram:42"
    )
    await store_either.run_failed(BOX, run="uid-a/0", reason="RunFailed", message="m")
    await store_either.notice(BOX, notice="n", text="t", source=Source.TERMINAL)
    await store_either.notice(BOX, notice="o", text="t", source=Source.API)
    await store_either.publish_events(BOX, "t1", "telegram", [(1, "delta", {"text": "x"})])

    async def check() -> None:
        for name, model in (
            *((f"user:{BOX}:{name}", model) for name, model in PER_MAILBOX.items()),
            *PER_INSTALLATION.items(),
        ):
            if await redis_either.type(name) == b"hash":
                fields: Any = await redis_either.hgetall(name)
                model.model_validate({k.decode(): v.decode() for k, v in fields.items()})
            else:
                found = await entries(redis_either, name)
                assert found or model is TurnHash, f"nothing in {name}: the check is empty"
                for _, entry in found:
                    model.model_validate(entry)

    await store_either.cut_off(BOX, run=RUN, own=True)
    await store_either.cut_off(BOX, run=RUN, own=False)
    letters = GivenUp(run=RUN, turn="t1", max_deaths=1, reason="RunFailed", message="m", text="t")
    assert await store_either.give_up(BOX, letters) == 1
    await turn(store_either, "t2")
    await store_either.cut_off(BOX, run=RUN, own=True)
    await store_either.ingest(BOX, message("m2"))
    await store_either.tell_held(BOX, text="t", with_turn=False)
    await check()
    await store_either.commit_result(BOX, run=RUN, turn="t2", result=OK)
    await store_either.ingest(BOX, message("m3"), new_conversation=True)
    await check()
    box: Any = await redis_either.hgetall(K.state)
    assert MailboxHash.model_validate({k.decode(): v.decode() for k, v in box.items()}).state
