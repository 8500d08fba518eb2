"""A conversation: sends, follows, stops. What it shows goes to a Screen, in one thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from agentsession_core.terminal import TerminalEvent, TerminalEventKind
from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.follow import Follower, Outcome, Say, Tone, tell_history
from kubectl_agents.gateway import Gateway
from kubectl_agents.screen import Screen

# What takes longer gets a spinner that says what is waited for.
PATIENCE_SECONDS: Final = 1.0
HISTORY_SHOWN: Final = 10
_WHOLE: Final = frozenset(
    {TerminalEventKind.BEGUN, TerminalEventKind.ENDED, TerminalEventKind.NOTICE}
)


class LeaveError(Exception):
    """The person leaves; the message, if one waits, is answered all the same."""


class Watching(Protocol):
    """Tells what the session waits for, until it is stopped."""

    def start(self) -> None:
        """Begins."""
        ...

    def stop(self) -> None:
        """Ends it."""
        ...


@dataclass(frozen=True)
class _Heard:
    kind: str
    event: TerminalEvent


@dataclass(frozen=True)
class _Status:
    text: str


class Chat:
    """One session, followed in a thread from `begin` on."""

    def __init__(
        self,
        gateway: Gateway,
        screen: Screen,
        new_id: Callable[[], str],
        watch: Callable[[Callable[[str], None]], Watching],
    ) -> None:
        self._gateway = gateway
        self._screen = screen
        self._new_id = new_id
        self._watch = watch
        self._follower = Follower()
        self._inbox: queue.SimpleQueue[_Heard | _Status | Exception] = queue.SimpleQueue()

    def begin(self, history: int = HISTORY_SHOWN) -> None:
        """Tells the newest turns and follows what comes."""
        known = self._gateway.history()
        turns = tuple(turn for turn in known.turns if turn.turn != known.running)
        self._screen.say(*tell_history(turns, history))
        if history and known.running:
            self._screen.note("the agent is working on a turn")
        threading.Thread(target=self._listen, args=(known.cursor,), daemon=True).start()

    def ask(self, text: str, timeout: float | None = None) -> Outcome:
        """Sends a message and shows what happens until it has ended. Raises PluginError, LeaveError.

        ctrl-c stops the turn; a second one leaves.
        """
        self.catch_up()
        message = self._new_id()
        self._follower.expect(message)
        receipt = self._gateway.send(message, text)
        if receipt.reopened:
            raise PluginError(
                Exit.REFUSED,
                "the session was being deleted when the message came; the message is kept and waits "
                "for a new session with this mailbox",
                "kubectl apply the session again",
            )
        return self._wait(timeout)

    def new(self) -> int:
        """The next message begins a conversation; its number."""
        return self._gateway.new(self._new_id()).conversation

    def keep(self) -> None:
        """The session's idle time begins anew."""
        self._gateway.keep()

    def catch_up(self) -> None:
        """Shows what happened while nobody waited: whole things only. Raises PluginError."""
        while True:
            try:
                heard = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(heard, _Heard) and heard.kind in _WHOLE:
                self._screen.say(*self._follower.take(heard.kind, heard.event))
            elif isinstance(heard, Exception):
                raise heard

    def _listen(self, cursor: str) -> None:
        try:
            for frame, event in self._gateway.events(cursor):
                self._inbox.put(_Heard(frame.name, event))
        except Exception as error:  # noqa: BLE001 -- raised where somebody waits, who would wait for ever
            self._inbox.put(error)

    def _wait(self, timeout: float | None) -> Outcome:
        waiting = _Waiting(self._gateway, self._screen, self._follower)
        watch = self._watch(lambda text: self._inbox.put(_Status(text)))
        ends = None if timeout is None else time.monotonic() + timeout
        try:
            while self._follower.outcome is None:
                self._step(waiting, watch, ends)
        finally:
            watch.stop()
            self._screen.calm()
            self._screen.end_text()
        return self._follower.outcome

    def _step(self, waiting: _Waiting, watch: Watching, ends: float | None) -> None:
        try:
            try:
                heard = self._inbox.get(timeout=_least(waiting.patience, ends))
            except queue.Empty:
                if ends is not None and time.monotonic() >= ends:
                    raise PluginError(
                        Exit.TIMED_OUT,
                        "there is no answer within the time of --timeout",
                        "the message stays and will be answered: kubectl agents last shows it then",
                    ) from None
                if waiting.out_of_patience():
                    watch.start()
                return
            if isinstance(heard, Exception):
                raise heard
            if isinstance(heard, _Status):
                if not waiting.heard_of_turn:
                    self._screen.busy(heard.text)
                return
            waiting.take(heard.kind, heard.event)
        except KeyboardInterrupt:
            waiting.interrupted()


class _Waiting:
    """One message on its way; `patience` is when a spinner is due, None when it is there."""

    def __init__(self, gateway: Gateway, screen: Screen, follower: Follower) -> None:
        self._gateway = gateway
        self._screen = screen
        self._follower = follower
        self._interrupts = 0
        self._stop_at_begin = False
        self._watched = False
        self.heard_of_turn = False
        self.patience: float | None = time.monotonic() + PATIENCE_SECONDS

    def take(self, kind: str, event: TerminalEvent) -> None:
        """Shows an event; stops our turn if that was wished before it began."""
        says = self._follower.take(kind, event)
        if self._follower.turn is not None and not self.heard_of_turn:
            self.heard_of_turn = True
            self._screen.calm()
            if self._stop_at_begin:
                self._cancel(self._follower.turn)
        self._screen.say(*says)
        self.patience = time.monotonic() + PATIENCE_SECONDS

    def out_of_patience(self) -> bool:
        """Nothing was heard for a while. True the first time that it is worth asking the cluster why."""
        self.patience = None
        if self.heard_of_turn:
            self._screen.busy("the agent works; ctrl-c stops it")
            return False
        self._screen.busy("waiting for the agent")
        first, self._watched = not self._watched, True
        return first

    def interrupted(self) -> None:
        """ctrl-c. Raises LeaveError at the second."""
        self._interrupts += 1
        if self._interrupts > 1:
            raise LeaveError
        if self._follower.turn is None:
            self._stop_at_begin = True
            self._screen.note("the message waits; its turn is stopped when it begins")
            self._screen.note("ctrl-c again leaves")
            return
        try:
            self._cancel(self._follower.turn)
        except KeyboardInterrupt:
            raise LeaveError from None

    def _cancel(self, turn: str) -> None:
        self._screen.say(Say(Tone.NOTE, "stopping the turn; ctrl-c again leaves"))
        self._gateway.cancel(turn)


def _least(*moments: float | None) -> float | None:
    """Seconds until the first of these moments; None for ever."""
    known = [moment for moment in moments if moment is not None]
    return max(0.0, min(known) - time.monotonic()) if known else None
