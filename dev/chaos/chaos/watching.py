"""Reads answers as a bridge does, and looks at what must hold at every moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import RedisError

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import MailboxState, RunState
from agentsession_core.mailbox.parse import read_fields, read_streams, read_text
from chaos.ground import Ground
from chaos.ledger import Answer, Ledger
from chaos.traffic import Person

LOOK_SECONDS: Final = 0.4
RETRY_SECONDS: Final = 0.2


class Watching:
    """The bridge's side, and an eye on every mailbox."""

    def __init__(self, ground: Ground, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ground = ground
        self._ledger = ledger
        self._clock = clock
        self._last_turns: dict[str, str] = {}

    async def read_answers(self, persons: list[Person]) -> None:
        """Follows every outgoing stream until cancelled; what was taken is removed, as delivered."""
        taken: list[tuple[str, str]] = []
        after: dict[Any, Any] = {
            MailboxKeys(p.name).outgoing: "0-0" for p in persons if not p.by_prompt
        }
        while True:
            try:
                while taken:
                    await self._ground.redis.xdel(*taken[0])
                    del taken[0]
                answer = await self._ground.redis.xread(after, count=500, block=1000)
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for stream, entries in read_streams(answer):
                name = read_text(stream)
                for entry_id, fields in entries:
                    after[name] = read_text(entry_id)
                    entry = read_fields(fields)
                    self._take(name.split(":")[1], after[name], entry)
                    taken.append((name, after[name]))

    def _take(self, mailbox: str, entry_id: str, entry: dict[str, str]) -> None:
        reply_to = tuple(json.loads(entry.get("reply_to") or "[]"))
        answer = Answer(
            entry_id, entry["kind"], reply_to, entry.get("outcome", ""), entry.get("text", "")
        )
        self._ledger.answer(mailbox, answer, self._clock())

    async def look(self, persons: list[Person]) -> None:
        """Looks at every mailbox again and again until cancelled."""
        while True:
            for person in persons:
                try:
                    state = await self._ground.store.state(person.name)
                except (RedisError, OSError):
                    break
                self._check(person, state)
            await asyncio.sleep(LOOK_SECONDS)

    def _check(self, person: Person, state: MailboxState) -> None:
        run, turn = state.run, state.turn
        if run is not None and turn is not None and turn.run == run.run:
            ids = (run.run, turn.turn)
            if run.bye_at is not None:
                self._ledger.violate("no end with work in hand", person.name, "bye in a turn", *ids)
            if run.state is RunState.DRAINED:
                self._ledger.violate(
                    "no end with work in hand", person.name, f"drained in a turn ({run.why})", *ids
                )
        if state.closed and state.waiting:
            self._ledger.violate("no end with work in hand", person.name, "closed with messages")
        if person.by_prompt:
            self._take_prompt_turn(person, state)

    def _take_prompt_turn(self, person: Person, state: MailboxState) -> None:
        """A prompt's answer is the mailbox's last turn; the sums say that none came between."""
        last = state.last
        if last is None or self._last_turns.get(person.name) == last.turn:
            return
        self._last_turns[person.name] = last.turn
        text = last.reply if last.outcome == "Succeeded" else ""
        answer = Answer(last.turn, "answer", (last.message_id,), last.outcome, text)
        self._ledger.answer(person.name, answer, self._clock())
