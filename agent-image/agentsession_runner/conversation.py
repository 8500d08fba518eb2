"""Which CLI session a turn belongs to, and the words it is given. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentsession_runner.orders import Message
from agentsession_runner.workspace import StoredSession, is_session_id

LOST_NOTE = (
    "The saved conversation was not found on the workspace volume, so this is a new conversation: "
    "what was said before is not known any more. Files in the workspace are as they are."
)
ATTEMPT_NOTE = (
    "[This message was given to you before, but the run was cut off before you finished. "
    "Part of the work may be done already: look before you repeat anything.]"
)

BLANK_ANSWER = "The message was empty: there was nothing to give to the agent."
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Session:
    """A CLI session of a conversation.

    `answered` counts its finished turns, `saved_bytes` is how much of it lay on the volume after
    the last one; `lost` says that an earlier session of the same
    conversation could not be found.
    """

    conversation: int
    agent_session_id: str
    answered: int = 0
    saved_bytes: int = 0
    lost: bool = False

    def stored(self) -> StoredSession:
        """The session as the volume keeps it."""
        return StoredSession(
            self.conversation, self.agent_session_id, self.answered, self.saved_bytes
        )


def choose_session(
    conversation: int,
    known_id: str | None,
    stored: StoredSession | None,
    saved_bytes: Callable[[str], int],
    new_id: Callable[[], str],
) -> Session:
    """Choose the session of a conversation: the gateway's, else the volume's, else a new one.

    `saved_bytes` says how much the CLI has saved of a session, which only grows: one that is
    shorter than it was has been replaced by what an agent left after removing it. One that was
    announced but never answered may have been cut off before its first word was saved: nothing is
    lost with it.
    """
    if stored is not None and stored.conversation != conversation:
        stored = None
    candidate = known_id if is_session_id(known_id) else None
    if candidate is None and stored is not None:
        candidate = stored.agent_session_id
    if candidate is None:
        return Session(conversation, new_id())
    same = stored is not None and stored.agent_session_id == candidate
    answered = stored.answered if stored is not None and same else 0
    saved = saved_bytes(candidate)
    known_bytes = stored.saved_bytes if stored is not None and same else 0
    if saved > 0 and saved >= known_bytes:
        return Session(conversation, candidate, answered, saved)
    if same and answered == 0:
        return Session(conversation, candidate)
    return Session(conversation, new_id(), lost=True)


def is_blank(messages: Sequence[Message]) -> bool:
    """Whether there is nothing to read in a turn's messages: no visible character and no file."""
    return not any(message.files or _has_visible(message.text) for message in messages)


def compose_prompt(messages: Sequence[Message], attempt: int) -> str:
    """The turn's messages as one prompt, with a word about an attempt that was cut off."""
    parts = [ATTEMPT_NOTE] if attempt > 1 else []
    for message in messages:
        parts.append(_readable(message.text))
        if message.files:
            parts.append("Files: " + ", ".join(message.files))
    return "\n\n".join(parts)


def _has_visible(text: str) -> bool:
    # Spaces of all kinds, control and format characters are not printable to Python.
    return any(character.isprintable() and character != " " for character in text)


def _readable(text: str) -> str:
    """The text with a visible mark for what not every reader takes: NUL, half surrogate pairs."""
    marked = text.replace("\0", REPLACEMENT)
    return marked.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
