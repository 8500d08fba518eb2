"""The terminal protocol of `agentsession_core.terminal`."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import Final, TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentsession_core.mailbox.answers import Admission, CancelAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.messages import INCOMING_BYTES, INCOMING_MESSAGES
from agentsession_core.problems import ProblemError
from agentsession_core.streaming import OwnedStreamingResponse
from agentsession_core.terminal import (
    PREFIX,
    TEXT_LIMIT,
    Cancel,
    CancelReceipt,
    History,
    MessageReceipt,
    New,
    NewReceipt,
    SendMessage,
)
from agentsession_core.wire import WireModel
from agentsession_gateway.bodies import parse_body
from agentsession_gateway.deps import Deps
from agentsession_gateway.exports import ExportDesk
from agentsession_gateway.limits import BodyBudget, Slots, read_body
from agentsession_gateway.terminal_access import Terminal, enter
from agentsession_gateway.terminal_stream import EventFeed
from agentsession_gateway.terminal_view import history_of, last_of

# Each holds a connection to Redis.
TERMINALS_PER_SESSION: Final = 8
TERMINALS: Final = 100
HISTORY_TURNS: Final = 50
# A character of a text takes at most six bytes in JSON.
BODY_BYTES: Final = 6 * TEXT_LIMIT + 4 * 1024
M = TypeVar("M", bound=WireModel)
_EVENT_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")


class TerminalApi:
    """Handlers of `/v1/terminal/*`."""

    def __init__(self, deps: Deps, bodies: BodyBudget, exports: ExportDesk) -> None:
        self._deps = deps
        self._exports = exports
        self._bodies = bodies
        self._per_session = Slots(TERMINALS_PER_SESSION)
        self._all = Slots(TERMINALS)

    @property
    def open(self) -> int:
        """How many terminals follow a session."""
        return self._all.held("")

    def add_to(self, app: FastAPI) -> None:
        """Adds the routes."""
        session = PREFIX + "/{name}"
        app.add_api_route(session + "/events", self.events, methods=["GET"])
        app.add_api_route(session + "/history", self.history, methods=["GET"])
        app.add_api_route(session + "/last", self.last, methods=["GET"])
        app.add_api_route(session + "/messages", self.send, methods=["POST"])
        app.add_api_route(session + "/export", self.export, methods=["GET"])
        app.add_api_route(session + "/cancel", self.cancel, methods=["POST"])
        app.add_api_route(session + "/new", self.new, methods=["POST"])
        app.add_api_route(session + "/keep", self.keep, methods=["POST"])

    async def events(self, request: Request) -> Response:
        """What happens in the session, from an event on."""
        deps = self._deps
        terminal = await enter(deps, request)
        after = request.query_params.get("after") or request.headers.get("last-event-id")
        if after is not None and not _EVENT_ID.fullmatch(after):
            raise ProblemError(422, "event_id_invalid", "after must be the id of an event")
        async with AsyncExitStack() as held:
            for slots, key in (
                (self._per_session, terminal.session.metadata.uid),
                (self._all, ""),
            ):
                if not held.enter_context(slots.hold(key)):
                    raise ProblemError(
                        429, "too_many_terminals", "too many terminals are open", retry_after=5
                    )
            if after is None:
                after = await deps.store.newest_event(terminal.mailbox)
            terminal.audit("follow")
            feed = EventFeed(deps.store, terminal.mailbox, after, deps.hub.stopped, deps.clock)
            return OwnedStreamingResponse(
                feed.frames(),
                held.pop_all(),
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

    async def send(self, request: Request) -> Response:
        """Takes a message, once per id."""
        terminal = await enter(self._deps, request)
        message = await self._body(SendMessage, request, terminal)
        if not message.text.strip():
            raise ProblemError(422, "message_empty", "a message needs a text")
        receipt = await self._ingest(terminal, message.id, message.text)
        terminal.audit("message", message_id=message.id, new=receipt.new)
        return JSONResponse(receipt.to_wire(), 202)

    async def new(self, request: Request) -> Response:
        """The next message begins a conversation."""
        terminal = await enter(self._deps, request)
        wish = await self._body(New, request, terminal)
        receipt = await self._ingest(terminal, wish.id, "", new_conversation=True)
        terminal.audit("new", conversation=receipt.conversation)
        return JSONResponse(NewReceipt(conversation=receipt.conversation).to_wire())

    async def keep(self, request: Request) -> Response:
        """The session's idle time begins anew."""
        terminal = await enter(self._deps, request)
        if not await self._deps.store.keep(terminal.mailbox):
            raise ProblemError(409, "session_terminating", "the session is being deleted already")
        terminal.audit("keep")
        return Response(status_code=204)

    async def export(self, request: Request) -> Response:
        """The workspace as a tar, as a run hands it over."""
        deps = self._deps
        terminal = await enter(deps, request)
        if terminal.session.status.volume_claim_name is None:
            raise ProblemError(
                409, "no_workspace", "the session has no workspace yet: its first message makes one"
            )
        async with AsyncExitStack() as held:
            opened = await self._exports.open(deps.new_turn_id(), terminal.mailbox)
            held.push_async_callback(opened.close)
            terminal.audit("export", export=opened.export.id)
            first = await opened.export.first()
            return OwnedStreamingResponse(
                opened.export.rest(first),
                held.pop_all(),
                headers={"cache-control": "no-store"},
                media_type="application/x-tar",
            )

    async def cancel(self, request: Request) -> Response:
        """Stops a turn: the named one, or whichever runs."""
        terminal = await enter(self._deps, request)
        wish = await self._body(Cancel, request, terminal)
        done = await self._deps.store.request_cancel(
            terminal.mailbox, turn=wish.turn, by=Source.TERMINAL
        )
        terminal.audit("cancel", answer=done.answer, turn=done.turn)
        stopped = done.turn if done.answer is CancelAnswer.CANCELLED else None
        return JSONResponse(CancelReceipt(turn=stopped).to_wire())

    async def _ingest(
        self, terminal: Terminal, message: str, text: str, *, new_conversation: bool = False
    ) -> MessageReceipt:
        new = NewMessage(source=Source.TERMINAL, id=message, text=text)
        answer = await self._deps.store.ingest(
            terminal.mailbox, new, new_conversation=new_conversation
        )
        if answer.admission.is_refusal:
            raise ProblemError(
                409,
                "mailbox_full",
                f"{INCOMING_MESSAGES} messages or {INCOMING_BYTES} bytes wait already; send it again "
                "when the agent has answered some (kubectl agents why says what it waits for)",
                retry_after=30,
            )
        return MessageReceipt(
            id=message,
            new=answer.admission is Admission.NEW,
            conversation=answer.conversation,
            reopened=answer.reopened,
        )

    async def _body(self, model: type[M], request: Request, terminal: Terminal) -> M:
        with self._bodies.hold(terminal.session.metadata.uid) as held:
            return parse_body(model, await read_body(request, BODY_BYTES, held))
