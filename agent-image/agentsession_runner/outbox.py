"""Files that the agent has put into `outbox/`, on their way to the person.

The folder is the agent's, and so is everything in it: names are opened relative to open directories,
links are not followed, and what is no plain file is never read. What was found is moved away before
it is sent, so that the next turn does not send it again; a turn that is done again finds it there.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from agentsession_runner.file_names import megabytes, safe_name
from agentsession_runner.gateway_client import (
    GatewayClient,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from agentsession_runner.safe_files import (
    DIRECTORY_MODE,
    READ_FLAGS,
    is_directory,
    names_in,
    open_directory,
)
from agentsession_runner.transfer import Transfer, growing

OUTBOX = "outbox"
SENT = "sent"
NOT_SENT = "not-sent"
FILES_PER_TURN = 10
LIMIT_BYTES = 50_000_000
PIECE_BYTES = 256 * 1024
# A gateway that is being replaced is back within this.
PATIENCE_SECONDS = 60.0
NOTES_SHOWN = 5
NOT_FOUND = 404
STOPPED = "the work was stopped"


@dataclass
class Found:
    """What a turn has left: names in `outbox/sent/<turn>/`, and what is not sent and why."""

    names: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, name: str, why: str) -> None:
        """It is not sent."""
        self.refused.append((safe_name(name), why))

    def note(self) -> str:
        """What the person and the agent are told; empty if everything is sent."""
        lines = [f"[{name} was not sent: {why}.]" for name, why in self.refused[:NOTES_SHOWN]]
        more = len(self.refused) - NOTES_SHOWN
        if more > 0:
            lines.append(f"[{more} more were not sent.]")
        return "\n".join(lines)


@dataclass(frozen=True)
class Outbox:
    """Hands over what the agent sends."""

    root: Path
    client: GatewayClient
    transfer: Transfer
    report: Callable[[str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def send(self, turn: str, until: float) -> tuple[tuple[int, ...], str]:
        """Hand over the turn's files; returns their numbers, and a note about those that are not sent.

        `until` is the event loop's time at which no more is waited for.
        """
        found = await asyncio.to_thread(collect, self.root, turn)
        numbers = []
        for number, name in enumerate(found.names):
            try:
                async with asyncio.timeout_at(until):
                    await self._hand_over(turn, number, name)
                numbers.append(number)
            except (GatewayRefusedError, GatewayUnavailableError, OSError) as error:
                found.refuse(name, _reason(error))
        if found.refused:
            self.report(
                f"turn {turn}: {len(found.refused)} files are not sent: {found.refused[0][1]}"
            )
        return tuple(numbers), found.note()

    async def set_aside(self, turn: str) -> str:
        """Nothing of a stopped turn is sent, nor by the next one; returns a note about it."""
        return (await asyncio.to_thread(collect, self.root, turn, STOPPED)).note()

    async def _hand_over(self, turn: str, number: int, name: str) -> None:
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + PATIENCE_SECONDS
        for seconds in growing():
            try:
                with _opened(self.root, turn, name) as (descriptor, size):
                    upload = await self.client.begin_file(turn, number, safe_name(name), size)
                    path = (
                        f"/v1/runner/turns/{quote(turn, safe='')}/files/{number}/"
                        f"{quote(upload, safe='')}"
                    )
                    await self.transfer.send(path, _pieces(descriptor, size))
                return
            except GatewayUnavailableError as error:
                self.report(f"file {number} of turn {turn}: {error}")
                if loop.time() + seconds > patient_until:
                    raise
            await self.pause(seconds)


def collect(root: Path, turn: str, stopped: str = "") -> Found:
    """Move what lies in `outbox/` to where it is sent from, or to `not-sent/` with the reason."""
    found = Found()
    with ExitStack() as stack:
        try:
            top = stack.enter_context(open_directory(str(root)))
            outbox = stack.enter_context(open_directory(OUTBOX, top))
        except OSError:
            # Missing, or the person's own of that name: whose link it is nobody knows.
            return found
        names = sorted(
            name
            for name in names_in(outbox)
            if name not in (SENT, NOT_SENT) and not name.startswith(".")
        )
        fit = 0
        for name in names:
            why = stopped or _unfit(name, outbox, fit)
            fit += not why
            if why:
                found.refuse(name, why)
            moved = _move(name, outbox, NOT_SENT if why else SENT, turn)
            if moved and not why:
                found.refuse(name, moved)
        if not stopped:
            found.names = _sent(outbox, turn)
    return found


def _unfit(name: str, outbox: int, fit: int) -> str:
    """Why a name is not sent."""
    try:
        status = os.stat(name, dir_fd=outbox, follow_symlinks=False)
    except OSError as error:
        return error.strerror or type(error).__name__
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder; pack it into an archive"
    if not stat.S_ISREG(status.st_mode):
        return "it is a link or no file at all"
    if status.st_size == 0:
        return "it is empty"
    if status.st_size > LIMIT_BYTES:
        return (
            f"it has {megabytes(status.st_size)}, and at most {megabytes(LIMIT_BYTES)} can be sent"
        )
    if fit >= FILES_PER_TURN:
        return f"at most {FILES_PER_TURN} files go with an answer; pack them into an archive"
    return ""


def _move(name: str, outbox: int, where: str, turn: str) -> str:
    """Move it to `<where>/<turn>/`; returns why that failed."""
    try:
        with _made(where, outbox) as kind, _made(safe_name(turn), kind) as folder:
            os.rename(name, name, src_dir_fd=outbox, dst_dir_fd=folder)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _sent(outbox: int, turn: str) -> list[str]:
    """The turn's files, oldest first; of an attempt that was cut off, too."""
    with ExitStack() as stack:
        try:
            sent = stack.enter_context(open_directory(SENT, outbox))
            folder = stack.enter_context(open_directory(safe_name(turn), sent))
        except OSError:
            return []
        ages = []
        for name in names_in(folder):
            with suppress(OSError):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    ages.append((status.st_mtime_ns, name))
    return [name for _, name in sorted(ages)[:FILES_PER_TURN]]


@contextmanager
def _made(name: str, parent: int) -> Iterator[int]:
    with suppress(FileExistsError):
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    if not is_directory(name, parent):
        raise NotADirectoryError(0, f"{name} is no folder")
    with open_directory(name, parent) as descriptor:
        yield descriptor


@contextmanager
def _opened(root: Path, turn: str, name: str) -> Iterator[tuple[int, int]]:
    """A file to be sent, opened, and its size now. Raises OSError when it is none (any more)."""
    with (
        open_directory(str(root)) as top,
        open_directory(OUTBOX, top) as outbox,
        open_directory(SENT, outbox) as sent,
        open_directory(safe_name(turn), sent) as folder,
    ):
        descriptor = os.open(name, READ_FLAGS, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= LIMIT_BYTES:
            raise OSError(0, "it was changed while it was sent")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    """Not more than was announced, whatever becomes of the file meanwhile."""
    left = size
    while left and (piece := os.read(descriptor, min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece


def _reason(error: Exception) -> str:
    if isinstance(error, GatewayRefusedError) and error.status == NOT_FOUND:
        return "the gateway is of a release that takes no files"
    if isinstance(error, GatewayRefusedError):
        return error.reason.rstrip(".")
    if isinstance(error, TimeoutError):
        return "there was no time left"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"it could not be handed over ({error})"
