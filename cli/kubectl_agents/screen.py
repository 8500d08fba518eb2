"""The terminal: text that goes on, whole lines, a spinner for what takes longer than a second."""

from __future__ import annotations

import re
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from kubectl_agents.follow import Say, Tone

# An agent says what a model chose, after reading what others wrote: no escape sequence of it may
# reach a terminal. New lines and tabs may; a carriage return would write over what stands there.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STYLES = {
    Tone.TOOL: ("cyan", "⚙ "),
    Tone.NOTE: ("dim", "· "),
    Tone.PROBLEM: ("red", "✘ "),
    Tone.QUESTION: ("bold", "> "),
    Tone.ANSWER: ("", ""),
}


def harmless(text: str) -> str:
    """The text without control and direction characters; `\\r\\n` is a new line."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


class Screen:
    """Says things in order; nothing it is given can move the cursor."""

    def __init__(self, out: TextIO, *, colour: bool | None = None) -> None:
        self._out = out
        self._console = Console(
            file=out,
            highlight=False,
            soft_wrap=True,
            force_terminal=colour,
            no_color=colour is False,
        )
        self._in_text = False
        self._status: Status | None = None

    def say(self, *says: Say) -> None:
        """Shows each."""
        for one in says:
            self.calm()
            if one.tone is Tone.TEXT:
                self._out.write(harmless(one.text))
                self._out.flush()
                self._in_text = True
                continue
            self.end_text()
            if one.tone is Tone.BREAK:
                continue
            style, mark = _STYLES[one.tone]
            text = escape(mark + harmless(one.text).strip("\n"))
            self._console.print(f"[{style}]{text}[/]" if style else text)

    def note(self, text: str) -> None:
        """A line of our own."""
        self.say(Say(Tone.NOTE, text))

    def end_text(self) -> None:
        """What comes next begins on a line of its own."""
        if self._in_text:
            self._out.write("\n")
            self._out.flush()
            self._in_text = False

    def busy(self, text: str) -> None:
        """Shows, on a terminal, that something takes its time."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self.end_text()
            self._status = self._console.status(escape(text), spinner="dots")
            self._status.start()
        else:
            self._status.update(escape(text))

    def calm(self) -> None:
        """Takes the spinner away."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()
