"""What a person tells the bridge itself, by words that begin with a slash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from agentsession_bridge import texts
from agentsession_bridge.arrivals import Command
from agentsession_bridge.letterbox import Letterbox
from agentsession_bridge.places import Place
from agentsession_bridge.replies import Replies
from agentsession_bridge.session_index import SessionIndex
from agentsession_bridge.standing import status_text, usage_text
from agentsession_core.mailbox.answers import CancelAnswer
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.store import MailboxStore


class Commands:
    """Obeys commands. `clock`: Unix seconds. Raises redis.RedisError: the command has to come again."""

    def __init__(
        self,
        store: MailboxStore,
        letterbox: Letterbox,
        replies: Replies,
        index: SessionIndex,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._letterbox = letterbox
        self._replies = replies
        self._index = index
        self._clock = clock

    async def obey(self, command: Command) -> None:
        """Do what a command says; one that is not ours goes to the agent."""
        place = command.place
        match command.name:
            case "new":
                await self._letterbox.take(command, command.argument, new_conversation=True)
                self._replies.say(place, texts.NEW_CONVERSATION)
            case "stop":
                self._replies.say(place, await self._stop(place))
            case "status":
                self._replies.say(place, await self._status(place))
            case "usage":
                self._replies.say(place, await self._usage(place))
            case "keep":
                self._replies.say(place, await self._keep(place))
            case "resume":
                self._replies.say(place, await self._resume(command))
            case "start" | "help":
                self._replies.say(place, texts.HELP)
            case _:
                # The agent's CLI has commands of its own: it is its word.
                await self._letterbox.take(command, f"/{command.name} {command.argument}".strip())

    async def _stop(self, place: Place) -> str:
        answer = await self._store.request_cancel(place.mailbox, by=Source.TELEGRAM)
        stopped = answer.answer is CancelAnswer.CANCELLED
        return texts.STOPPING if stopped else texts.NOTHING_RUNS

    async def _status(self, place: Place) -> str:
        state = await self._store.state(place.mailbox)
        queued = await self._store.queue_position(place.mailbox)
        return status_text(self._index.holder(place.mailbox), state, queued)

    async def _usage(self, place: Place) -> str:
        state = await self._store.state(place.mailbox)
        held = self._index.holder(place.mailbox)
        user = held.user if held is not None else place.user
        today = f"{datetime.fromtimestamp(self._clock(), UTC):%Y-%m-%d}"
        return usage_text(state, await self._store.usage_of_day(user, today))

    async def _keep(self, place: Place) -> str:
        if self._index.holder(place.mailbox) is None:
            return texts.NO_AGENT
        return texts.KEPT if await self._store.keep(place.mailbox) else texts.TOO_LATE

    async def _resume(self, command: Command) -> str:
        mailbox = command.place.mailbox
        if await self._store.go_back(mailbox, wish=command.key):
            return texts.BACK
        state = await self._store.state(mailbox)
        return texts.BUSY if state.turn is not None or state.waiting else texts.NOTHING_BEFORE
