"""Files through bridge, gateway and runner as processes, with an API server that knows whose a token is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.bridge_process import NAMESPACE
from agentsession_testing.file_chain import (
    PERSON,
    FileChain,
    file_chain,
    refused,
    service_account_token,
)
from agentsession_testing.serving import plain_client, until
from agentsession_testing.telegram import TOKEN, telegram_stand_in
from agentsession_testing.valkey import Valkey

pytestmark = pytest.mark.timeout(180)
PICTURE = b"\x89PNG\r\n\x1a\n of sorts"


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE)
        yield server


@pytest.fixture
async def chain(
    api_server: ApiServer, valkey: Valkey, store: MailboxStore, tmp_path: Path
) -> AsyncIterator[FileChain]:
    async with (
        telegram_stand_in() as telegram,
        file_chain(telegram, api_server, valkey, store, tmp_path) as chain,
    ):
        yield chain


async def test_both_ways(chain: FileChain, redis_client: Redis) -> None:
    content = os.urandom(3_000_000)
    async with chain.gateway() as gateway, chain.runner(gateway):
        sent = await chain.send_file("Bericht ä.bin", content, "look at this")
        [answer] = await chain.said(1)
        path = f"inbox/{PERSON}.{sent['message_id']}/Bericht_ä.bin"
        assert "look at this" in answer["text"]
        assert path in answer["text"]
        assert (chain.workspace / path).read_bytes() == content

        await chain.put_out("plan.pdf", content)
        await chain.put_out("chart.png", PICTURE)
        await chain.put_out("fake.png", b"no picture")
        await chain.telegram.write(PERSON, "send it")
        _, answer, first, second, third = await chain.said(5)
        assert "send it" in answer["text"]
        assert (first["document"]["file_name"], await chain.content(first)) == ("plan.pdf", content)
        assert await chain.content(second) == PICTURE
        assert "photo" in second
        # What Telegram makes no photo of is a document.
        assert third["document"]["file_name"] == "fake.png"
        assert await redis_client.keys(MailboxKeys(str(PERSON)).file("*")) == []
        assert await redis_client.hgetall(MailboxKeys(str(PERSON)).files) == {}
    log = chain.bridge.log()
    assert [word for word in (TOKEN, TOKEN.split(":")[1], "plan.pdf") if word in log] == []


async def test_what_cannot_be_had_is_said_and_the_message_is_answered(chain: FileChain) -> None:
    async with chain.gateway() as gateway, chain.runner(gateway):
        await chain.send_file("film.mp4", bytes(20_000_001), "watch")
        notice, answer = sorted(await chain.said(2), key=lambda one: "watch" in one["text"])
        assert "larger than 20 MB" in notice["text"]
        assert "'film.mp4' that came with this message could not be put" in answer["text"]
        await chain.telegram.post("faults", kind="error", method="getFile", code=400)
        await chain.send_file("gone.txt", b"x", "and this")
        answer = (await chain.said(3))[-1]
        assert "Telegram does not have it any more" in answer["text"]
        await chain.send_file("voice", b"OggS", media="voice")
        answer = (await chain.said(4))[-1]
        assert "/voice.ogg" in answer["text"]


async def test_a_download_that_fails_is_begun_again_and_its_address_is_told_nowhere(
    chain: FileChain,
) -> None:
    async with chain.gateway() as gateway, chain.runner(gateway):
        for fault in ({"kind": "reset"}, {"kind": "lost"}, {"kind": "error", "code": 500}):
            await chain.telegram.post("faults", method="file", **fault)
        sent = await chain.send_file("secret.txt", b"theirs", "read")
        [answer] = await chain.said(1)
        path = f"inbox/{PERSON}.{sent['message_id']}/secret.txt"
        assert path in answer["text"]
        assert (chain.workspace / path).read_bytes() == b"theirs"
    told = chain.bridge.log()
    assert told.count('"event": "no file"') == 3
    for word in (
        TOKEN,
        TOKEN.split(":")[1],
        "/file/bot",
        "secret.txt",
        sent["document"]["file_id"],
    ):
        assert word not in told


async def test_a_bridge_that_dies_in_the_middle_is_waited_for(chain: FileChain) -> None:
    content = os.urandom(5_000_000)
    async with chain.gateway() as gateway, chain.runner(gateway):
        await chain.telegram.post("faults", kind="delay", method="getFile", seconds=5)
        await chain.send_file("a.bin", content, "read")
        await chain.telegram.wait("call", method="getFile", seconds=30)
        await chain.bridge.kill()
        await chain.bridge.start()
        [answer] = await chain.said(1)
        [path] = chain.workspace.glob("inbox/*/*")
        assert path.read_bytes() == content
        assert path.name in answer["text"]


async def test_the_bridge_gives_files_to_the_gateway_alone(
    chain: FileChain, api_server: ApiServer
) -> None:
    sent = await chain.send_file("a.txt", b"theirs")
    path = f"/v1/files/{sent['document']['file_id']}"
    own = (chain.folder / "bridge-token").read_text()
    strangers = {
        "no token": None,
        "no token at all": "nothing",
        "another audience": service_account_token(
            api_server, "agentsession-gateway", naming.AUDIENCE_GATEWAY
        ),
        "another account": service_account_token(
            api_server, "agentsession-runner", naming.AUDIENCE_BRIDGE, NAMESPACE
        ),
        "the gateway's name elsewhere": service_account_token(
            api_server, "agentsession-gateway", naming.AUDIENCE_BRIDGE, NAMESPACE
        ),
    }
    async with plain_client(base_url=f"http://127.0.0.1:{chain.bridge.port}") as client:
        for name, token in strangers.items():
            assert (await refused(client, path, token))[0] in (401, 403), name
        answer = await client.get(path, headers={"authorization": f"Bearer {own}"})
        assert (answer.status_code, answer.content) == (200, b"theirs")
        assert await refused(client, "/v1/files/unknown", own) == (
            410,
            "Telegram does not have it any more",
        )
    assert own not in chain.bridge.log()


async def test_a_file_is_delivered_once_however_often_the_bridge_is_killed(
    chain: FileChain, redis_client: Redis
) -> None:
    contents = [os.urandom(1_500_000) for _ in range(3)]
    async with chain.gateway() as gateway, chain.runner(gateway):
        for number, content in enumerate(contents):
            await chain.put_out(f"{number}.bin", content)
        await chain.telegram.post("faults", kind="delay", method="sendDocument", seconds=1, count=3)
        await chain.telegram.write(PERSON, "send")
        for _ in range(2):
            calls = await chain.telegram.get("journal", kind="call", method="sendDocument")
            await chain.telegram.wait(
                "call", method="sendDocument", after=calls["last"], seconds=60
            )
            await chain.bridge.kill()
            await chain.bridge.start()
        key = MailboxKeys(str(PERSON)).outgoing

        async def delivered() -> bool:
            return await redis_client.xlen(key) == 0

        await until(delivered, "everything is delivered", 60)
    said = await chain.said(4)
    names = [message["document"]["file_name"] for message in said if "document" in message]
    # A kill between Telegram's answer and our note of it shows as one message more.
    assert list(dict.fromkeys(names)) == ["0.bin", "1.bin", "2.bin"]
    assert len(names) <= 3 + 2
    for message in said[1:]:
        number = int(message["document"]["file_name"][0])
        assert await chain.content(message) == contents[number]


async def test_a_gateway_that_is_killed_in_the_middle_is_waited_for(chain: FileChain) -> None:
    content = os.urandom(2_000_000)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(chain.gateway())
        await stack.enter_async_context(chain.runner(gateway))
        await chain.telegram.post("faults", kind="delay", method="getFile", seconds=3)
        await chain.put_out("out.bin", content)
        await chain.send_file("in.bin", content, "read")
        await chain.telegram.wait("call", method="getFile", seconds=30)
        gateway.process.kill()
        await gateway.process.wait()
        await stack.enter_async_context(chain.gateway())
        answer, document = await chain.said(2)
    [path] = chain.workspace.glob("inbox/*/*")
    assert path.read_bytes() == content
    assert path.name in answer["text"]
    assert await chain.content(document) == content


async def test_a_runner_that_is_killed_while_it_sends_loses_nothing_and_sends_nothing_twice(
    chain: FileChain,
) -> None:
    contents = {f"{number}.bin": os.urandom(3_000_000) for number in range(5)}
    async with chain.gateway() as gateway:
        async with chain.runner(gateway) as runner:
            for name, content in contents.items():
                await chain.put_out(name, content)
            await chain.send_file("in.txt", b"read me", "send all")
            await until(
                lambda: bool(list(chain.workspace.glob("outbox/sent/*/*"))),
                "the runner sends the first",
                60,
            )
            runner.kill()
        await chain.next_run()
        async with chain.runner(gateway):
            answer, *documents = await chain.said(6)
            await chain.telegram.write(PERSON, "and now?")
            *_, last = await chain.said(7)
    assert "send all" in answer["text"]
    assert "and now?" in last["text"]
    assert sorted(one["document"]["file_name"] for one in documents) == sorted(contents)
    for document in documents:
        assert await chain.content(document) == contents[document["document"]["file_name"]]
    assert [path.name for path in chain.workspace.glob("inbox/*/*")] == ["in.txt"]
