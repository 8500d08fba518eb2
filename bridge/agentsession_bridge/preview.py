"""What can be shown of a turn while it runs. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final

from agentsession_bridge import texts
from agentsession_bridge.formatting import format_answer
from agentsession_bridge.formatting.messages import Message
from agentsession_core.mailbox.model import MailboxEvent
from agentsession_core.wire import EventKind

LINE_CHARACTERS: Final = 120
# The runner counts from 0.
_NOTHING_YET: Final = -1


class Preview:
    """An answer as far as it is written, and below it one line that says what is going on."""

    def __init__(self) -> None:
        self.line = ""
        self._text = ""
        self._seq = _NOTHING_YET
        self._after_tool = False

    def add(self, event: MailboxEvent) -> bool:
        """Take an event of the turn; answer whether there is something new to show."""
        if event.kind == "turn":
            return self._begin(event.data)
        # A batch whose answer was lost comes again.
        if event.seq <= self._seq:
            return False
        self._seq = event.seq
        match event.kind:
            case EventKind.DELTA:
                return self._write(_word(event.data, "text"))
            case EventKind.TOOL:
                self.line = _one_line(
                    f"🔧 {_word(event.data, 'name')} {_word(event.data, 'summary')}"
                )
                self._after_tool = True
                return True
            case EventKind.STATE if _word(event.data, "note"):
                self.line = _one_line(_word(event.data, "note"))
                return True
        return False

    def message(self) -> Message | None:
        """What is to be shown now; None while there is nothing.

        Beyond one message it stays as it is: the rest comes with the answer.
        """
        first = next(iter(format_answer(self._text).messages), None) if self._text else None
        if not self.line:
            return first
        line = Message(f"<i>{html.escape(self.line, quote=False)}</i>", self.line)
        if first is None:
            return line
        return first.followed_by(line) or first

    def _begin(self, data: Mapping[str, Any]) -> bool:
        if data.get("phase") != "begun":
            return False
        attempt = data.get("attempt")
        number = attempt if isinstance(attempt, int) else 1
        # Another attempt writes its answer from the beginning.
        self._text, self._seq, self._after_tool = "", _NOTHING_YET, False
        self.line = texts.again(number) if number > 1 else texts.THINKING
        return True

    def _write(self, text: str) -> bool:
        if not text:
            return False
        if self._after_tool and self._text:
            self._text += "\n\n"
        self._after_tool, self.line = False, ""
        self._text += text
        return True


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARACTERS else line[: LINE_CHARACTERS - 1] + "…"


def _word(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
