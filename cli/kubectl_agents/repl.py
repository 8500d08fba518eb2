"""`kubectl agents chat` at a terminal: read a line, ask, show, again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from kubectl_agents.chat import Chat, LeaveError
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.follow import Say, Tone
from kubectl_agents.screen import Screen

PROMPT: Final = "> "
HELP: Final = (
    "/new begins a new conversation, /keep puts off the session's deletion, /quit (or ctrl-d) leaves. "
    "A line that ends in \\ goes on in the next one. ctrl-c stops the running turn."
)


class Repl:
    """Lines in, turns out."""

    def __init__(self, chat: Chat, screen: Screen, read_line: Callable[[str], str]) -> None:
        self._chat = chat
        self._screen = screen
        self._read_line = read_line

    def run(self) -> Exit:
        """Until the person leaves. Raises PluginError."""
        interrupts = 0
        while True:
            try:
                text = self._read()
            except EOFError:
                self._screen.say(Say(Tone.NOTE, "bye"))
                return Exit.OK
            except KeyboardInterrupt:
                interrupts += 1
                if interrupts > 1:
                    return Exit.INTERRUPTED
                print()
                self._screen.note("nothing runs; ctrl-c again or /quit leaves")
                continue
            interrupts = 0
            try:
                if not self._act(text.strip()):
                    return Exit.OK
            except LeaveError:
                self._screen.note("left; what was sent is answered all the same")
                return Exit.INTERRUPTED

    def _read(self) -> str:
        line = self._read_line(PROMPT)
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self._read_line("… "))
        return "\n".join(lines)

    def _act(self, text: str) -> bool:
        if not text:
            self._chat.catch_up()
            return True
        if text == "/quit":
            return False
        if text == "/help":
            self._screen.note(HELP)
        elif text == "/new":
            self._screen.note(f"conversation {self._chat.new()} begins with the next message")
        elif text == "/keep":
            self._chat.keep()
            self._screen.note("the session's idle time begins anew")
        elif text.startswith("/"):
            self._screen.say(Say(Tone.PROBLEM, f"there is no {text.split()[0]}. {HELP}"))
        else:
            self._ask(text)
        return True

    def _ask(self, text: str) -> None:
        try:
            outcome = self._chat.ask(text)
        except PluginError as error:
            if error.code not in (Exit.REFUSED, Exit.USAGE):
                raise
            # The person can do something about it and go on.
            self._screen.say(Say(Tone.PROBLEM, f"{error.cause}. {error.next_step}".strip()))
            return
        if outcome.refused:
            self._screen.note("this message gets no answer")


def terminal_lines() -> Callable[[str], str]:
    """Lines of the terminal, with the editing that Python's readline gives."""
    try:
        import readline  # noqa: F401 - importing it is what makes input() edit lines
    except ImportError:
        print("(line editing is not there: Python has no readline)", file=sys.stderr)
    return input
