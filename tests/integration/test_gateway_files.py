"""The gateway's routes for files, over a real Valkey; the bridge is a transport of the test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.contract import FileReference, NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_core.streaming import FileCutError
from agentsession_core.wire import FILE_IN_LIMIT_BYTES
from agentsession_testing.gateway import NO_NETWORK, POD_UID, RUN, USER, Harness, client_of
from agentsession_testing.valkey import entries

FILES = "/v1/runner/turns/turn-1/files"
PHOTO = FileReference(id="f1", ref="telegrams/id", name="a.jpg", size=3, kind="photo")


class Endless(httpx.AsyncByteStream):
    """A body that never ends; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 65536
            yield bytes(65536)


@dataclass
class Bridge:
    """Answers in place of the bridge."""

    answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, content=b"abc")
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer()


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path, bridge: Bridge) -> AsyncIterator[Harness]:
    async with (
        httpx.AsyncClient(transport=NO_NETWORK) as upstream,
        httpx.AsyncClient(transport=httpx.MockTransport(bridge)) as to_bridge,
    ):
        harness = Harness(store, Settings(), tmp_path, upstream, bridge=to_bridge)
        (tmp_path / "bridge-token").write_text("the-gateways-own\n")
        harness.add_session()
        await harness.begin_run()
        yield harness


@pytest.fixture
async def client(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(harness.app()) as client:
        yield client


async def begin_turn(harness: Harness, source: Source = Source.TELEGRAM) -> None:
    message = NewMessage.model_validate(
        {"source": source, "id": "m1", "chat": "7", "text": "look", "files": (PHOTO,)}
    )
    await harness.store.ingest(USER, message)
    await harness.store.begin_turn(
        USER, run=RUN, pod_uid=POD_UID, turn="turn-1", timeout_seconds=60
    )


def refused(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def new(**changes: Any) -> dict[str, Any]:
    return {"number": 0, "name": "a.txt", "size": 6, **changes}


async def upload(client: httpx.AsyncClient, content: bytes, **changes: Any) -> httpx.Response:
    begun = await client.post(FILES, json=new(**{"size": len(content), **changes}))
    assert begun.status_code == 200, begun.text
    number = changes.get("number", 0)
    return await client.put(f"{FILES}/{number}/{begun.json()['upload']}", content=content)


async def test_a_turns_own_file_comes_through(
    harness: Harness, client: httpx.AsyncClient, bridge: Bridge
) -> None:
    await begin_turn(harness)
    answer = await client.get(f"{FILES}/f1")
    assert (answer.status_code, answer.content) == (200, b"abc")
    [asked] = bridge.asked
    # The bridge is named by configuration alone, and meets neither the run's token nor its path.
    assert str(asked.url) == "http://bridge/v1/files/telegrams%2Fid"
    assert asked.headers["authorization"] == "Bearer the-gateways-own"


async def test_nothing_but_the_running_turns_files(
    harness: Harness, client: httpx.AsyncClient, bridge: Bridge
) -> None:
    assert refused(await client.get(f"{FILES}/f1")) == (410, "unknown_turn")
    await begin_turn(harness)
    other = FileReference(id="f2", ref="of-another", name="b")
    later = NewMessage(source=Source.TELEGRAM, id="m2", chat="7", files=(other,))
    await harness.store.ingest(USER, later)
    await harness.store.ingest("43", NewMessage(source=Source.TELEGRAM, id="m", files=(other,)))
    assert refused(await client.get(f"{FILES}/f2")) == (404, "unknown_file")
    assert refused(await client.get(f"{FILES}/telegrams%2Fid")) == (405, "no_such_route")
    assert refused(await client.get("/v1/runner/turns/turn-2/files/f1")) == (410, "unknown_turn")
    client.headers["authorization"] = "Bearer of-nobody"
    assert (await client.get(f"{FILES}/f1")).status_code == 401
    assert bridge.asked == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (413, (413, "file_too_large")),
        (410, (410, "file_gone")),
        (403, (503, "bridge_unavailable")),
        (503, (503, "bridge_unavailable")),
    ],
)
async def test_why_it_cannot_be_had_is_said_in_the_bridges_words(
    harness: Harness,
    client: httpx.AsyncClient,
    bridge: Bridge,
    status: int,
    expected: tuple[int, str],
) -> None:
    await begin_turn(harness)
    bridge.answer = lambda: httpx.Response(status, json={"detail": "because"})
    answer = await client.get(f"{FILES}/f1")
    assert (*refused(answer), answer.json()["detail"]) == (*expected, "because")


async def test_a_bridge_that_is_away_is_said_to_be(
    harness: Harness, client: httpx.AsyncClient, bridge: Bridge
) -> None:
    await begin_turn(harness)

    def away() -> httpx.Response:
        raise httpx.ConnectError("refused")

    bridge.answer = away
    assert refused(await client.get(f"{FILES}/f1")) == (503, "bridge_unavailable")
    (harness.secrets / "bridge-token").unlink()
    assert refused(await client.get(f"{FILES}/f1")) == (503, "bridge_unavailable")


async def test_what_is_longer_than_it_may_be_is_cut_while_it_comes(
    harness: Harness, client: httpx.AsyncClient, bridge: Bridge
) -> None:
    await begin_turn(harness)
    body = Endless()
    bridge.answer = lambda: httpx.Response(200, stream=body)
    with pytest.raises(FileCutError):
        await client.get(f"{FILES}/f1")
    assert body.taken < FILE_IN_LIMIT_BYTES + 10 * 65536


async def test_a_file_goes_out_with_the_result(
    harness: Harness, client: httpx.AsyncClient, redis_client: Redis
) -> None:
    await begin_turn(harness)
    content = os.urandom(3_500_000)
    assert (await upload(client, content, name="plan.pdf")).status_code == 204
    result = {"outcome": "Succeeded", "text": "done", "files": [0]}
    done = await client.post("/v1/runner/turns/turn-1/result", json=result)
    assert done.json() == {"committed": True}
    said = [fields for _, fields in await entries(redis_client, MailboxKeys(USER).outgoing)]
    assert [(one["kind"], one["text"]) for one in said] == [
        ("answer", "done"),
        ("file", "plan.pdf"),
    ]
    pieces = [await harness.store.file_piece(USER, "turn-1.0", index) for index in range(4)]
    assert b"".join(piece or b"" for piece in pieces) == content
    assert refused(await client.post(FILES, json=new())) == (410, "unknown_turn")


async def test_limits_of_what_goes_out(harness: Harness, client: httpx.AsyncClient) -> None:
    await begin_turn(harness)
    for changes in (
        {"size": 50_000_001},
        {"size": 0},
        {"number": 10},
        {"number": -1},
        {"name": ""},
    ):
        answer = await client.post(FILES, json=new(**changes))
        assert refused(answer) == (422, "body_invalid"), changes
    assert refused(await client.put(f"{FILES}/10/x", content=b"x")) == (404, "unknown_file")
    assert refused(await client.put(f"{FILES}/0/x", content=b"x")) == (410, "upload_gone")
    assert refused(await upload(client, b"abc", size=2)) == (413, "file_too_large")
    assert refused(await upload(client, b"abc", size=4)) == (400, "body_cut")
    for number in (0, 1):
        begun = await client.post(FILES, json=new(number=number, size=50_000_000))
        assert begun.status_code == 200
    assert refused(await client.post(FILES, json=new(number=2))) == (409, "mailbox_full")
    again = [await client.post(FILES, json=new(size=50_000_000)) for _ in range(3)]
    assert refused(again[-1]) == (429, "too_many_bytes")


async def test_a_message_that_came_from_no_chat_gets_no_files(
    harness: Harness, client: httpx.AsyncClient
) -> None:
    await begin_turn(harness, Source.TERMINAL)
    assert refused(await client.post(FILES, json=new())) == (409, "no_chat")
