"""The terminal protocol of `agentsession_core.terminal`."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentsession_core.terminal import PREFIX, History
from agentsession_gateway.deps import Deps
from agentsession_gateway.limits import BodyBudget, Slots
from agentsession_gateway.problems import ProblemError
from agentsession_gateway.streaming import OwnedStreamingResponse
from agentsession_gateway.terminal_access import enter
from agentsession_gateway.terminal_stream import EventFeed
from agentsession_gateway.terminal_view import history_of, last_of

# Each holds a connection to Redis.
TERMINALS_PER_SESSION: Final = 8
TERMINALS: Final = 100
HISTORY_TURNS: Final = 50
_EVENT_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")


class TerminalApi:
    """Handlers of `/v1/terminal/*`."""

    def __init__(self, deps: Deps, bodies: BodyBudget) -> None:
        self._deps = deps
        self._bodies = bodies
        self._per_session = Slots(TERMINALS_PER_SESSION)
        self._all = Slots(TERMINALS)

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        session = PREFIX + "/{name}"
        app.add_api_route(session + "/events", self.events, methods=["GET"])
        app.add_api_route(session + "/history", self.history, methods=["GET"])
        app.add_api_route(session + "/last", self.last, methods=["GET"])

    async def events(self, request: Request) -> Response:
        """What happens in the session, from an event on."""
        deps = self._deps
        terminal = await enter(deps, request)
        after = request.query_params.get("after") or request.headers.get("last-event-id")
        if after is not None and not _EVENT_ID.fullmatch(after):
            raise ProblemError(422, "event_id_invalid", "after must be the id of an event")
        owner = AsyncExitStack()
        for slots, key in (
            (self._per_session, terminal.session.metadata.uid),
            (self._all, ""),
        ):
            if not owner.enter_context(slots.hold(key)):
                await owner.aclose()
                raise ProblemError(
                    429, "too_many_terminals", "too many terminals are open", retry_after=5
                )
        try:
            if after is None:
                after = await deps.store.newest_event(terminal.mailbox)
        except BaseException:
            await owner.aclose()
            raise
        terminal.audit("follow")
        feed = EventFeed(deps.store, terminal.mailbox, after, deps.hub.stopped, deps.clock)
        return OwnedStreamingResponse(
            feed.frames(),
            owner,
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            media_type="text/event-stream",
        )

    async def history(self, request: Request) -> Response:
        """The turns that are still known."""
        store = self._deps.store
        terminal = await enter(self._deps, request)
        events = await store.all_events(terminal.mailbox)
        state = await store.state(terminal.mailbox)
        terminal.audit("history")
        history = History(
            turns=tuple(history_of(events)[-HISTORY_TURNS:]),
            cursor=events[-1].id if events else "0-0",
            running=state.turn.turn if state.turn else None,
            waiting=state.waiting_behind_turn,
            conversation=state.conversation,
        )
        return JSONResponse(history.to_wire())

    async def last(self, request: Request) -> Response:
        """The newest finished turn."""
        terminal = await enter(self._deps, request)
        state = await self._deps.store.state(terminal.mailbox)
        terminal.audit("last")
        return JSONResponse(last_of(state.last).to_wire())
