"""The files of a message as references: what Telegram calls them, never their bytes. Pure."""

from __future__ import annotations

import mimetypes
from hashlib import sha256
from typing import Any, Final

from telegram import Message

from agentsession_core.mailbox.contract import FileReference
from agentsession_core.wire import FILE_IN_LIMIT_BYTES

NAME_CHARACTERS: Final = 255
ID_CHARACTERS: Final = 32
# Telegram gives photos and voice messages no names.
_ENDINGS: Final = {
    "photo": ".jpg",
    "voice": ".ogg",
    "video_note": ".mp4",
    "audio": ".mp3",
    "video": ".mp4",
}
# An animation is a document, too: the first kind that fits is taken.
_KINDS: Final = ("photo", "voice", "video_note", "audio", "video", "document")


def files_of(message: Message) -> tuple[FileReference, ...]:
    """Return the message's file as a reference; Telegram puts at most one into a message."""
    for kind in _KINDS:
        found: Any = getattr(message, kind, None)
        if found:
            # Of a photo there are several sizes, the largest last.
            file = found[-1] if kind == "photo" else found
            return (_reference(kind, file),)
    return ()


def too_large(files: tuple[FileReference, ...]) -> tuple[FileReference, ...]:
    """Return those that Telegram does not give to a bot."""
    return tuple(file for file in files if (file.size or 0) > FILE_IN_LIMIT_BYTES)


def _reference(kind: str, file: Any) -> FileReference:
    return FileReference(
        # Whatever it is made of, this fits into a path.
        id=sha256(file.file_unique_id.encode()).hexdigest()[:ID_CHARACTERS],
        ref=file.file_id,
        name=_name(kind, file),
        size=file.file_size,
        kind=kind,
    )


def _name(kind: str, file: Any) -> str:
    name: str = getattr(file, "file_name", None) or ""
    if name:
        return name[-NAME_CHARACTERS:].encode("utf-8", "replace").decode()
    ending = mimetypes.guess_extension(getattr(file, "mime_type", None) or "")
    return f"{kind}{_ENDINGS.get(kind) or ending or ''}"
