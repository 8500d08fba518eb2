"""From an update to what is done about it: all that must not be lost is in Redis before it returns."""

from __future__ import annotations

from telegram import Update

from agentsession_bridge import texts
from agentsession_bridge.arrivals import Arrival, Command, Press, Stopped, Words, read_update
from agentsession_bridge.buttons import Buttons
from agentsession_bridge.commands import Commands
from agentsession_bridge.door import Door
from agentsession_bridge.letterbox import Letterbox
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.replies import Replies


class Intake:
    """Takes updates in. After `handle` returns an update may be forgotten by Telegram."""

    def __init__(
        self,
        door: Door,
        letterbox: Letterbox,
        commands: Commands,
        buttons: Buttons,
        replies: Replies,
        metrics: Metrics,
        bot_id: int,
        bot_username: str,
    ) -> None:
        self._door = door
        self._letterbox = letterbox
        self._commands = commands
        self._buttons = buttons
        self._replies = replies
        self._metrics = metrics
        self._bot_id = bot_id
        self._bot_username = bot_username

    async def handle(self, update: Update) -> None:
        """Take one update in.

        Raises:
            redis.RedisError: it is not taken in, and has to come again.
        """
        arrival = read_update(update, self._bot_id, self._bot_username)
        if arrival is None:
            self._metrics.updates.labels("ignored").inc()
            return
        is_open = self._door.is_open(arrival)
        with self._metrics.intake_seconds.time():
            await (self._take(arrival) if is_open else self._door.turn_away(arrival))
        kind = type(arrival).__name__.lower() if is_open else "stranger"
        self._metrics.updates.labels(kind).inc()

    async def _take(self, arrival: Arrival) -> None:
        match arrival:
            case Words():
                await self._letterbox.take(arrival, arrival.text)
            case Command():
                await self._commands.obey(arrival)
            case Press():
                await self._buttons.pressed(arrival)
            case Stopped():
                await self._buttons.stopped(arrival)
            case _:
                self._replies.say(arrival.place, texts.unreadable(arrival.kind), arrival.message_id)
