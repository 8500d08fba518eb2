"""Files that came with messages, into a workspace that the agent may have prepared."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agentsession_runner.gateway_client import GatewayRefusedError, GatewayUnavailableError
from agentsession_runner.inbox import FILES_PER_TURN, LIMIT_BYTES, PATIENCE_SECONDS, Inbox
from agentsession_runner.orders import Attachment, Message, TurnOrder
from agentsession_runner.transfer import Transfer

FILE = Attachment("f1", "a.txt", 5)


class Gateway:
    """Answers fetches; `before` runs in the middle of one."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.before: Callable[[], object] = lambda: None

    async def fetch(self, path: str, take: Callable[[bytes], None]) -> None:
        self.asked.append(path)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else b"hello"
        if isinstance(answer, Exception):
            raise answer
        half = len(answer) // 2
        take(answer[:half])
        self.before()
        take(answer[half:])


class Pauses:
    """Lets time pass at once."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


def order(*files: Attachment, attempt: int = 1, message: str = "71.5") -> TurnOrder:
    return TurnOrder("t1", attempt, 1, (Message(message, "look", (), files),), 60.0)


async def take(
    root: Path, gateway: Gateway, given: TurnOrder, pauses: Pauses | None = None
) -> Message:
    inbox = Inbox(root, cast("Transfer", gateway), lambda _: None, pauses or Pauses())
    until = asyncio.get_running_loop().time() + 60
    [message] = (await inbox.take(given, until)).messages
    assert message.attachments == ()
    return message


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_it_lies_where_the_message_says(root: Path) -> None:
    gateway = Gateway(b"hello")
    message = await take(root, gateway, order(FILE))
    assert (message.text, message.files) == ("look", ("inbox/71.5/a.txt",))
    assert (root / "inbox/71.5/a.txt").read_bytes() == b"hello"
    assert gateway.asked == ["/v1/runner/turns/t1/files/f1"]
    assert names(root) == ["inbox/71.5/a.txt"]


async def test_nothing_is_overwritten(root: Path) -> None:
    (root / "inbox/71.5").mkdir(parents=True)
    (root / "inbox/71.5/a.txt").write_text("the agent's")
    message = await take(root, Gateway(b"new"), order(FILE, FILE))
    assert message.files == ("inbox/71.5/a-2.txt", "inbox/71.5/a-3.txt")
    assert (root / "inbox/71.5/a.txt").read_text() == "the agent's"


@pytest.mark.parametrize(
    ("name", "message", "path"),
    [
        ("../../../etc/passwd", "../..", "inbox/file/passwd"),
        ("/root/.ssh/authorized_keys", "/", "inbox/file/authorized_keys"),
        ("\u202e" + "gpj.exe" * 60, "71.5.e9", None),
    ],
)
async def test_hostile_names_stay_in_their_folder(
    root: Path, name: str, message: str, path: str | None
) -> None:
    found = await take(root, Gateway(), order(Attachment("f", name, 5), message=message))
    [placed] = found.files
    assert (root / placed).read_bytes() == b"hello"
    assert path in (None, placed)
    assert names(root.parent) == [f"workspace/{placed}"]


@pytest.mark.parametrize("place", ["inbox", "inbox/71.5", "inbox/71.5/a.txt"])
async def test_a_link_is_not_followed(root: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(outside / "new" if place.endswith("txt") else outside)
    message = await take(root, Gateway(), order(FILE))
    assert list(outside.iterdir()) == []
    if place.endswith("txt"):
        assert message.files == ("inbox/71.5/a-2.txt",)
    else:
        assert message.files == ()
        assert "is no folder" in message.text


async def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    gateway = Gateway(b"hello")

    def swap() -> None:
        (root / "inbox/71.5").rename(root / "elsewhere")
        (root / "inbox/71.5").symlink_to(outside)

    gateway.before = swap
    await take(root, gateway, order(FILE))
    assert list(outside.iterdir()) == []
    assert (root / "elsewhere/a.txt").read_bytes() == b"hello"


async def test_a_name_that_is_taken_meanwhile_is_left_alone(root: Path) -> None:
    gateway = Gateway(b"hello")
    taken = root / "inbox/71.5/a.txt"
    gateway.before = lambda: os.mkfifo(taken)
    message = await take(root, gateway, order(FILE))
    assert message.files == ("inbox/71.5/a-2.txt",)
    assert taken.is_fifo()


async def test_an_inbox_of_the_persons_own_is_left_alone(root: Path) -> None:
    (root / "inbox").write_text("mail")
    message = await take(root, Gateway(), order(FILE))
    assert message.files == ()
    assert "'a.txt' that came with this message could not be put" in message.text
    assert (root / "inbox").read_text() == "mail"


@pytest.mark.parametrize("size", [None, 5])
async def test_a_file_that_lies_about_its_size_leaves_nothing(root: Path, size: int | None) -> None:
    gateway = Gateway(bytes(LIMIT_BYTES + 1))
    message = await take(root, gateway, order(Attachment("f1", "a.txt", size)))
    assert "larger than 20.0 MB" in message.text
    assert names(root) == []


async def test_one_that_is_known_to_be_too_large_is_not_asked_for(root: Path) -> None:
    gateway = Gateway()
    message = await take(root, gateway, order(Attachment("f1", "a.txt", LIMIT_BYTES + 1)))
    assert "larger than 20.0 MB" in message.text
    assert gateway.asked == []


async def test_of_a_thousand_files_the_first_are_fetched(root: Path) -> None:
    gateway = Gateway()
    files = [Attachment(f"f{number}", f"{number}.txt", 5) for number in range(1000)]
    message = await take(root, gateway, order(*files))
    assert len(message.files) == len(gateway.asked) == FILES_PER_TURN
    assert "950 files" in message.text
    assert len(message.text) < 500


async def test_whoever_is_away_is_waited_for(root: Path) -> None:
    pauses = Pauses()
    gateway = Gateway(*[GatewayUnavailableError("status 503: away")] * 3, b"hello")
    message = await take(root, gateway, order(FILE), pauses)
    assert message.files == ("inbox/71.5/a.txt",)
    assert pauses.taken == [1.0, 2.0, 4.0]
    assert names(root) == ["inbox/71.5/a.txt"]


async def test_what_is_refused_is_not_asked_for_again(root: Path) -> None:
    gateway = Gateway(GatewayRefusedError(410, "Telegram does not have it any more"))
    message = await take(root, gateway, order(FILE))
    assert len(gateway.asked) == 1
    assert "Telegram does not have it any more" in message.text
    assert names(root) == []


async def test_after_the_time_the_message_goes_without_it(root: Path) -> None:
    inbox = Inbox(root, cast("Transfer", Gateway()), lambda _: None, Pauses())
    [message] = (await inbox.take(order(FILE), asyncio.get_running_loop().time() - 1)).messages
    assert (message.files, "did not come in time" in message.text) == ((), True)
    assert PATIENCE_SECONDS < 300


async def test_a_second_attempt_finds_what_the_first_has_fetched(root: Path) -> None:
    await take(root, Gateway(), order(FILE))
    gateway = Gateway()
    message = await take(root, gateway, order(FILE, attempt=2))
    assert (message.files, gateway.asked) == (("inbox/71.5/a.txt",), [])
    (root / "inbox/71.5/a.txt").write_text("changed by the agent")
    message = await take(root, gateway, order(FILE, attempt=2))
    assert message.files == ("inbox/71.5/a-2.txt",)


async def test_what_a_killed_runner_left_behind_goes(root: Path) -> None:
    (root / "inbox/71.5").mkdir(parents=True)
    (root / "inbox/71.5/.runner-new-a.txt").write_text("hal")
    await take(root, Gateway(), order(FILE, attempt=2))
    assert names(root) == ["inbox/71.5/a.txt"]
