"""The bridge as a process: Telegram's stand-in, a real Valkey, a real API server."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.bridge_process import NAMESPACE, BridgeProcess
from agentsession_testing.serving import until
from agentsession_testing.telegram import TOKEN, Telegram, telegram_stand_in
from agentsession_testing.valkey import Valkey, entries

ADA, BOB, EVE = 71, 72, 73
GROUP = -1001234567890
CRDS = Path(__file__).resolve().parents[2] / "crds"
SESSIONS = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for name in ("agentsessions.yaml", "agentsessiontemplates.yaml"):
            server.apply(yaml.safe_load((CRDS / name).read_text()))
        yield server


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        for user, name in ((ADA, "Ada"), (BOB, "Bob"), (EVE, "Eve")):
            await found.join(user, name)
        yield found


@pytest.fixture
async def bridge(
    world: Telegram, api_server: ApiServer, valkey: Valkey, redis_client: Redis, tmp_path: Path
) -> AsyncIterator[BridgeProcess]:
    with api_server.client() as client:
        client.delete(SESSIONS)
    process = BridgeProcess(tmp_path, world.url, valkey.url, api_server.kubeconfig)
    process.allow(ADA, BOB, groups=(GROUP,))
    await process.start()
    yield process
    if process.process is not None:
        await process.kill()


class Agent:
    """Answers in place of operator, gateway and run: what the bridge sees of them is Redis alone."""

    def __init__(self, store: MailboxStore) -> None:
        self._store = store
        self._turns = 0
        self._begun: set[str] = set()

    async def turn(self, mailbox: str) -> tuple[str, list[str]]:
        """Take what waits as a turn; returns its id and texts."""
        run = "uid/1"
        if mailbox not in self._begun:
            self._begun.add(mailbox)
            await self._store.begin_run(
                mailbox, run=run, expected="", session_uid="uid", launch=LaunchType.COLD
            )
            await self._store.hello(mailbox, run=run, pod_uid="pod", pod="pod")
        self._turns += 1
        grant = await self._store.begin_turn(
            mailbox, run=run, pod_uid="pod", turn=f"t{self._turns}", timeout_seconds=600
        )
        assert grant.turn is not None, grant
        return grant.turn, [message.text for message in grant.messages]

    async def commit(
        self, mailbox: str, turn: str, text: str, outcome: TurnOutcome = TurnOutcome.SUCCEEDED
    ) -> None:
        """End the turn with an answer."""
        await self._store.commit_result(
            mailbox, run="uid/1", turn=turn, result=ResultRecord(outcome, text, "c")
        )

    async def answer(self, mailbox: str, text: str | None = None) -> list[str]:
        """Wait for messages, answer them, and return their texts."""
        # The bridge may be dead just now: starting takes long on a busy machine.
        await until(lambda: self._waits(mailbox), f"a message waits for {mailbox}", 90)
        turn, texts = await self.turn(mailbox)
        await self.commit(mailbox, turn, text if text is not None else f"echo {' '.join(texts)}")
        return texts

    async def _waits(self, mailbox: str) -> bool:
        return mailbox in await self._store.backlog()


@pytest.fixture
def agent(redis_client: Redis) -> Agent:
    return Agent(MailboxStore(redis_client))


def sessions(server: ApiServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(SESSIONS)["items"]
    return found


async def said(world: Telegram, chat: int, text: str) -> dict[str, Any]:
    """Wait until the bot has said something with this text in a chat."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = [
            message
            for message in await world.messages(chat)
            if message["from"]["is_bot"] and text in message.get("text", "")
        ]
        return bool(found)

    await until(there, f"the bot says {text!r} in {chat}", 20)
    return found[-1]


async def test_a_first_message_makes_a_session_and_its_answer_arrives(
    world: Telegram, bridge: BridgeProcess, api_server: ApiServer, agent: Agent, redis_client: Redis
) -> None:
    theirs = await world.write(ADA, "hello")
    reaction = await world.wait("reaction", chat_id=ADA)
    assert reaction["data"] == {"message_id": theirs["message_id"], "emoji": ["👀"]}
    await world.wait("action", chat_id=ADA)
    await until(lambda: len(sessions(api_server)) == 1, "the session is made", 20)
    (made,) = sessions(api_server)
    assert made["metadata"]["name"] == f"telegram-{ADA}"
    assert made["metadata"]["labels"] == {"agentsession.dev/user": str(ADA)}
    assert made["spec"] == {
        "mailbox": str(ADA),
        "operatingMode": "Running",
        "user": {"id": str(ADA), "displayName": "Ada"},
    }
    assert await agent.answer(str(ADA), "**Hi** <there>") == ["hello"]
    answer = await said(world, ADA, "Hi <there>")
    assert [entity["type"] for entity in answer["entities"]] == ["bold"]
    gone = await world.wait("reaction", chat_id=ADA, after=reaction["sequence"])
    assert gone["data"]["emoji"] == []
    assert await entries(redis_client, f"user:{ADA}:outgoing") == []
    await until(
        lambda: _is_empty(redis_client, "outgoing:ready"), "no pointer to what is delivered is left"
    )


async def _is_empty(redis: Redis, stream: str) -> bool:
    return await entries(redis, stream) == []


async def test_the_session_that_holds_the_mailbox_is_woken_whatever_its_name(
    world: Telegram, bridge: BridgeProcess, api_server: ApiServer
) -> None:
    api_server.apply(
        {
            "apiVersion": "agentsession.dev/v1alpha1",
            "kind": "AgentSession",
            "metadata": {"name": "by-hand", "namespace": NAMESPACE},
            "spec": {"user": {"id": str(ADA)}, "prompt": "from Git"},
        }
    )
    theirs = await world.write(ADA, "hello")

    def told() -> bool:
        return bool(sessions(api_server)[0]["spec"].get("inbox"))

    await until(told, "the session's inbox names the message", 20)
    (session,) = sessions(api_server)
    assert session["spec"]["inbox"]["lastMessageID"] == f"{ADA}.{theirs['message_id']}"
    assert session["spec"]["prompt"] == "from Git"
    owned = [
        entry["fieldsV1"]["f:spec"]
        for entry in session["metadata"]["managedFields"]
        if entry["manager"] == "agentsession-bridge"
    ]
    assert owned == [
        {
            "f:inbox": {"f:lastMessageID": {}, "f:lastMessageTime": {}},
            "f:user": {"f:id": {}},
        }
    ]


async def test_who_is_not_on_the_list_gets_nothing_but_their_id(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis
) -> None:
    await world.write(EVE, "hello")
    assert str(EVE) in (await said(world, EVE, "not on this bot's list"))["text"]
    await world.write(EVE, "again")
    # The list is looked at when an update comes in: this one still meets the old list.
    await until(lambda: _all_confirmed(world), "the bridge has taken every update in")
    bridge.allow(ADA, EVE)
    await world.write(EVE, "now")
    await until(
        lambda: _texts(redis_client, EVE, ["now"]), "the changed list is in force without a restart"
    )
    assert len([m for m in await world.messages(EVE) if m["from"]["is_bot"]]) == 1


async def _all_confirmed(world: Telegram) -> bool:
    pending: int = (await world.get("state"))["pending_updates"]
    return pending == 0


async def _texts(redis: Redis, user: int, texts: list[str]) -> bool:
    found = await entries(redis, f"user:{user}:incoming")
    return [fields["text"] for _, fields in found] == texts


async def test_in_a_group_it_listens_only_to_those_who_mean_it(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("groups", id=GROUP, title="Team", topics=[5])
    await world.write(ADA, "not for the bot", chat_id=GROUP, message_thread_id=5)
    await world.write(EVE, "@agent_demo_bot nor from Eve", chat_id=GROUP, message_thread_id=5)
    theirs = await world.write(ADA, "@agent_demo_bot hi", chat_id=GROUP, message_thread_id=5)
    assert await agent.answer(f"g{-GROUP}.t5", "Hello, team") == ["hi"]
    answer = await said(world, GROUP, "Hello, team")
    assert answer["message_thread_id"] == 5
    assert answer["reply_to_message"]["message_id"] == theirs["message_id"]


async def test_stop_and_new(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "/stop")
    await said(world, ADA, "Nothing is running")
    await world.write(ADA, "work")
    await until(lambda: _texts(redis_client, ADA, ["work"]), "the message is in")
    turn, _ = await agent.turn(str(ADA))
    await world.write(ADA, "/stop")
    await said(world, ADA, "Stopping")
    (control,) = await entries(redis_client, f"user:{ADA}:control")
    assert control[1]["turn"] == turn
    await agent.commit(str(ADA), turn, "", TurnOutcome.CANCELLED)
    await said(world, ADA, "Stopped.")
    await world.write(ADA, "/new begin again")
    await said(world, ADA, "A new conversation begins")
    ((_, fields),) = await entries(redis_client, f"user:{ADA}:incoming")
    assert (fields["text"], fields["conversation"]) == ("begin again", "2")


async def test_a_very_long_answer_comes_as_a_document(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.write(ADA, "write a lot")
    await agent.answer(str(ADA), "word " * 5000)
    sent = await world.wait("call", chat_id=ADA, method="sendDocument")
    assert sent["data"]["status"] == 200


async def test_markup_that_telegram_refuses_is_sent_as_plain_text(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post(
        "faults", kind="error", method="sendMessage", code=400, reason="can't parse entities: no"
    )
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "**bold**")
    assert "entities" not in await said(world, ADA, "bold")


async def test_a_punished_chat_gets_its_answer_late_and_the_other_at_once(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("faults", kind="flood", method="sendMessage", chat_id=ADA, seconds=3)
    for user in (ADA, BOB):
        await world.write(user, "hello")
    await agent.answer(str(ADA), "for Ada")
    await world.wait("call", chat_id=ADA, method="sendMessage")
    await agent.answer(str(BOB), "for Bob")
    await said(world, BOB, "for Bob")
    assert not [m for m in await world.messages(ADA) if m.get("text") == "for Ada"]
    await said(world, ADA, "for Ada")


async def test_a_blocked_bot_ends_the_delivery_and_nothing_else(
    world: Telegram, bridge: BridgeProcess, agent: Agent, redis_client: Redis
) -> None:
    await world.write(ADA, "hello")
    await until(lambda: _texts(redis_client, ADA, ["hello"]), "the message is in")
    await world.post(f"people/{ADA}/block")
    await agent.answer(str(ADA), "nobody reads it")
    await until(lambda: _is_empty(redis_client, f"user:{ADA}:outgoing"), "the answer is given up")
    await world.write(BOB, "hello")
    await agent.answer(str(BOB), "for Bob")
    await said(world, BOB, "for Bob")


async def test_a_lost_answer_shows_one_message_twice_at_most(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("faults", kind="lost", method="sendMessage")
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "the answer")
    await until(lambda: _times_said(world, "the answer", 2), "the answer is sent once more", 20)


async def _times_said(world: Telegram, text: str, times: int) -> bool:
    found = [m for m in await world.messages(ADA) if m["from"]["is_bot"]]
    return [m["text"] for m in found] == [text] * times


async def test_every_message_is_answered_once_in_order_however_often_it_is_killed(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311 -- times of crashes, no secret
    people, count = (ADA, BOB), 15

    async def talk() -> None:
        for number in range(count):
            for person in people:
                await world.write(person, f"m{number}")
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    async def serve(person: int) -> None:
        answered = 0
        while answered < count:
            texts = await agent.answer(str(person))
            answered += len(texts)

    async def crash() -> None:
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            await bridge.kill(signal.SIGKILL)
            await bridge.start()

    await asyncio.gather(talk(), crash(), *(serve(person) for person in people))
    for person in people:
        await said(world, person, f"m{count - 1}")
        texts = [m["text"] for m in await world.messages(person) if m["from"]["is_bot"]]
        words = [word for text in dict.fromkeys(texts) for word in text.split() if word != "echo"]
        assert words == [f"m{number}" for number in range(count)], f"seed {seed}: {texts}"
        # A kill between Telegram's answer and our note of it shows as one message more.
        assert len(texts) - len(set(texts)) <= 4, f"seed {seed}: {texts}"


async def test_its_logs_hold_neither_token_nor_words(
    world: Telegram, bridge: BridgeProcess, agent: Agent
) -> None:
    await world.post("faults", kind="error", method="getUpdates", code=502)
    await world.write(ADA, "a very private word")
    await agent.answer(str(ADA), "a very private answer")
    await said(world, ADA, "private answer")
    assert await bridge.kill(signal.SIGTERM) == 0
    log = bridge.log()
    assert "bridge started" in log
    assert [word for word in (TOKEN, TOKEN.split(":")[1], "private") if word in log] == []
