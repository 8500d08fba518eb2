"""From an answer to messages, or to a document when it is very long."""

from __future__ import annotations

from dataclasses import dataclass

from agentsession_bridge.formatting.markdown import read_markdown
from agentsession_bridge.formatting.spans import to_html, to_text, utf16_length
from agentsession_bridge.formatting.split import split

MESSAGE_UNITS = 4096
# More messages than this in a row are a wall of text: a document serves people better.
MOST_MESSAGES = 4


@dataclass(frozen=True)
class Message:
    """One message as HTML, and as the plain text that is sent if Telegram refuses the HTML."""

    html: str
    text: str

    def followed_by(self, other: Message) -> Message | None:
        """Return both as one, an empty line between them; None if that is too long for a message."""
        text = f"{self.text}\n\n{other.text}"
        if utf16_length(text) > MESSAGE_UNITS:
            return None
        return Message(f"{self.html}\n\n{other.html}", text)


@dataclass(frozen=True)
class Formatted:
    """What is sent for an answer: messages, and with `document` the whole Markdown as a file."""

    messages: tuple[Message, ...]
    document: str | None = None


def format_answer(markdown: str) -> Formatted:
    """Return an answer as messages of at most 4096 UTF-16 units.

    An answer of more than four becomes its first message and a document with all of it.
    """
    pieces = split(read_markdown(markdown), MESSAGE_UNITS)
    messages = tuple(Message(to_html(piece), to_text(piece)) for piece in pieces)
    if len(messages) <= MOST_MESSAGES:
        return Formatted(messages)
    return Formatted(messages[:1], markdown)
