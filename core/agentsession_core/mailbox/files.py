"""Files that come with messages and go out with answers, as typed calls.

Of a file that comes in a mailbox knows the name alone. The bytes of one that goes out are held until
it is delivered, a day at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from agentsession_core.mailbox.contract import FileReference
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_references, read_text
from agentsession_core.mailbox.scripted import Scripted

FILE_SECONDS: Final = 24 * 3600
MAILBOX_FILE_BYTES: Final = 100_000_000
# Each piece is one write that has to reach the disk, and everybody's messages wait behind it.
PIECE_BYTES: Final = 1024 * 1024


class FileAnswer(StrEnum):
    """Why a file was or was not taken.

    NO_CHAT: nobody could be sent a file; FULL: the mailbox holds 100 MB; STORE_FULL: Redis is half
    full; GONE: a later upload has taken its place; TOO_LARGE: more bytes than were announced.
    """

    OK = "ok"
    UNKNOWN_TURN = "unknown_turn"
    NO_CHAT = "no_chat"
    FULL = "full"
    STORE_FULL = "store_full"
    GONE = "gone"
    TOO_LARGE = "too_large"


@dataclass(frozen=True)
class FileBegun:
    """`upload` names what begins, where `answer` is OK."""

    answer: FileAnswer
    upload: str = ""


@dataclass(frozen=True)
class FileTaken:
    """`complete`: this piece was the last one."""

    answer: FileAnswer
    complete: bool = False


@dataclass(frozen=True)
class HeldFile:
    """A complete file on its way out. `size` in bytes."""

    name: str
    size: int


class Files(Scripted):
    """The hash `user:<mailbox>:files` and what belongs to it. Raises redis.RedisError."""

    async def turn_file(self, mailbox: str, turn: str, file: str) -> FileReference | None:
        """The file `file` of a message of the turn that runs; None if there is none of that id."""
        k = MailboxKeys(mailbox)
        answer = await self._run("turn_files", [k.turn, k.incoming], [turn])
        references = [one for part in answer[1:] for one in read_references(part)]
        return next((one for one in references if one.id == file), None)

    async def begin_file(
        self, mailbox: str, *, turn: str, number: int, name: str, size: int
    ) -> FileBegun:
        """Makes room for the turn's file `number`, in the place of what it was before."""
        k = MailboxKeys(mailbox)
        answer = await self._run(
            "begin_file",
            [k.turn, k.files, k.file(f"{turn}.{number}")],
            [turn, number, name, size, MAILBOX_FILE_BYTES, FILE_SECONDS],
        )
        return FileBegun(FileAnswer(answer[0]), answer[1] if len(answer) > 1 else "")

    async def append_file(
        self, mailbox: str, *, turn: str, number: int, upload: str, offset: int, piece: bytes
    ) -> FileTaken:
        """Adds a piece of at most PIECE_BYTES that begins at byte `offset`. Idempotent."""
        k, file = MailboxKeys(mailbox), f"{turn}.{number}"
        answer: Any = await self._scripts["append_file"](
            keys=[k.files, k.file(file)], args=[file, upload, str(offset), piece]
        )
        words = [read_text(part) for part in answer]
        return FileTaken(FileAnswer(words[0]), words[-1] == "1")

    async def held_file(self, mailbox: str, file: str) -> HeldFile | None:
        """What an entry of `outgoing` names; None when it is not (or no longer) held in full."""
        k = MailboxKeys(mailbox)
        known: Any = await self._redis.hget(k.files, file)
        if known is None or not await self._redis.exists(k.file(file)):
            return None
        found = json.loads(known)
        whole = found["held"] == found["size"]
        return HeldFile(found["name"], int(found["size"])) if whole else None

    async def file_piece(self, mailbox: str, file: str, index: int) -> bytes | None:
        """One of its pieces, from 0; None behind the last one."""
        found: Any = await self._redis.lindex(MailboxKeys(mailbox).file(file), index)
        return found if found is None or isinstance(found, bytes) else str(found).encode()

    async def drop_file(self, mailbox: str, file: str) -> None:
        """It is delivered, or never will be."""
        k = MailboxKeys(mailbox)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hdel(k.files, file)
            pipe.delete(k.file(file))
            await pipe.execute()
