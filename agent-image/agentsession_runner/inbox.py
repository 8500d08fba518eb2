"""Files that came with messages, into the workspace: nothing is overwritten, no link is followed.

The folders are the agent's, who may put anything in their place at any time: every name is opened
relative to an open directory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from agentsession_runner.file_names import megabytes, numbered, safe_name
from agentsession_runner.gateway_client import GatewayRefusedError, GatewayUnavailableError
from agentsession_runner.orders import Attachment, Message, TurnOrder
from agentsession_runner.safe_files import (
    DIRECTORY_FLAGS,
    DIRECTORY_MODE,
    FILE_MODE,
    NEW_FILE_FLAGS,
    TEMPORARY_PREFIX,
    open_directory,
    remove,
)
from agentsession_runner.transfer import Transfer, growing

INBOX = "inbox"
# What Telegram gives to a bot.
LIMIT_BYTES = 20_000_000
FILES_PER_TURN = 50
# A bridge or a gateway that is being replaced is back within this.
PATIENCE_SECONDS = 60.0
SAME_NAMES = 1000
# Below it the conversation itself might not be saved.
ROOM_BYTES = 8 * 1024 * 1024
TOO_LARGE = f"it is larger than {megabytes(LIMIT_BYTES)}"


class NotPlacedError(Exception):
    """A file is not in the workspace; the message says why."""


@dataclass(frozen=True)
class Inbox:
    """Fetches the files of turns."""

    root: Path
    transfer: Transfer
    report: Callable[[str], None]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def take(self, order: TurnOrder, until: float) -> TurnOrder:
        """The order with its attachments as paths, or with words about why one is not there.

        `until` is the event loop's time at which no more is waited for.
        """
        messages = []
        left = FILES_PER_TURN
        for message in order.messages:
            placed = await self._place(order, message, left, until)
            left -= len(message.attachments)
            messages.append(placed)
        return replace(order, messages=tuple(messages))

    async def _place(self, order: TurnOrder, message: Message, left: int, until: float) -> Message:
        paths, notes = list(message.files), []
        too_many = len(message.attachments) - max(left, 0)
        if too_many > 0:
            notes.append(
                f"[{too_many} files that came with this message were not put into the workspace: "
                f"more than {FILES_PER_TURN} came at once.]"
            )
        for attachment in message.attachments[: max(left, 0)]:
            try:
                async with asyncio.timeout_at(until):
                    paths.append(await self._fetch(order, message, attachment))
            except (NotPlacedError, TimeoutError) as error:
                reason = str(error) or "it did not come in time"
                self.report(f"a file of message {message.id} is not there: {reason}")
                notes.append(
                    f"[The file {safe_name(attachment.name)!r} that came with this message could "
                    f"not be put into the workspace: {reason}.]"
                )
        text = "\n".join(filter(None, (message.text, *notes)))
        return replace(message, text=text, files=tuple(paths), attachments=())

    async def _fetch(self, order: TurnOrder, message: Message, attachment: Attachment) -> str:
        if (attachment.size or 0) > LIMIT_BYTES:
            raise NotPlacedError(TOO_LARGE)
        path = (
            f"/v1/runner/turns/{quote(order.turn, safe='')}/files/{quote(attachment.id, safe='')}"
        )
        name, folder = safe_name(attachment.name), safe_name(message.id)
        try:
            with _folders(self.root, folder) as directory:
                held = _size(name, directory) if order.attempt > 1 else None
                if held is not None and held == attachment.size:
                    # The run that was cut off had fetched it.
                    return f"{INBOX}/{folder}/{name}"
                _require_room(directory, attachment.size or LIMIT_BYTES)
                placed = await self._try(path, name, directory)
        except OSError as error:
            raise NotPlacedError(f"the workspace refuses it ({error.strerror})") from None
        return f"{INBOX}/{folder}/{placed}"

    async def _try(self, path: str, name: str, directory: int) -> str:
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + PATIENCE_SECONDS
        problem = ""
        for seconds in growing():
            try:
                with _NewFile(name, directory) as file:
                    await self.transfer.fetch(path, file.write)
                    return file.keep()
            except GatewayRefusedError as refusal:
                raise NotPlacedError(refusal.reason) from None
            except GatewayUnavailableError as error:
                problem = str(error)
                self.report(f"{path}: {problem}")
            if loop.time() + seconds > patient_until:
                break
            await self.pause(seconds)
        raise NotPlacedError(f"it could not be fetched now ({problem})")


class _NewFile:
    """A file beside its place until it is whole."""

    def __init__(self, name: str, directory: int) -> None:
        self._name = name
        self._temporary = TEMPORARY_PREFIX + name
        self._directory = directory
        self._size = 0

    def __enter__(self) -> _NewFile:
        remove(self._temporary, self._directory)
        self._descriptor = os.open(
            self._temporary, NEW_FILE_FLAGS, FILE_MODE, dir_fd=self._directory
        )
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        with suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._directory)

    def write(self, piece: bytes) -> None:
        """Add a piece. Raises NotPlacedError beyond 20 MB."""
        self._size += len(piece)
        if self._size > LIMIT_BYTES:
            raise NotPlacedError(TOO_LARGE)
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise NotPlacedError(f"the workspace refuses it ({error.strerror})") from None

    def keep(self) -> str:
        """Put it into its place; returns the name there, another one if that was taken."""
        for number in range(1, SAME_NAMES):
            name = numbered(self._name, number)
            try:
                os.close(os.open(name, NEW_FILE_FLAGS, FILE_MODE, dir_fd=self._directory))
            except FileExistsError:
                continue
            os.rename(self._temporary, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            return name
        raise NotPlacedError("too many files of that name are there")


@contextmanager
def _folders(root: Path, message: str) -> Iterator[int]:
    with (
        open_directory(str(root)) as top,
        _folder(INBOX, top) as inbox,
        _folder(message, inbox) as directory,
    ):
        yield directory


@contextmanager
def _folder(name: str, parent: int) -> Iterator[int]:
    with suppress(FileExistsError):
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    try:
        descriptor = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except OSError as error:
        # It is the agent's own: not ours to remove.
        raise NotPlacedError(f"{name!r} in the workspace is no folder ({error.strerror})") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_room(directory: int, size: int) -> None:
    state = os.fstatvfs(directory)
    if state.f_bavail * state.f_frsize < size + ROOM_BYTES:
        raise NotPlacedError("the workspace is full: delete files that are not needed")


def _size(name: str, directory: int) -> int | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
