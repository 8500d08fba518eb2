"""The chat page: a person talks to the bot in a browser, without Telegram."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib import resources
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Response
from starlette.responses import StreamingResponse

from agentsession_dev.telegram_server.journal import Entry
from agentsession_dev.telegram_server.service import TelegramService

JsonObject = dict[str, Any]

KEEP_ALIVE_SECONDS = 15.0
_PAGE = resources.files("agentsession_dev.telegram_server").joinpath("page")
# Nothing but the page's own: no script, picture or connection of anybody else, in no frame.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_ASSETS = {"chat.js": "text/javascript", "chat.css": "text/css"}
_SHOWN = frozenset({"message", "edit", "delete", "draft", "action", "reaction", "callback_answer"})


def chat_router(service: TelegramService) -> APIRouter:
    """Return the page's routes. What the person does goes through /_control."""
    router = APIRouter()

    @router.get("/")
    async def page() -> Response:
        content = _PAGE.joinpath("index.html").read_bytes()
        return Response(content, media_type="text/html", headers=_HEADERS)

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in _ASSETS:
            return Response(status_code=404)
        content = _PAGE.joinpath(name).read_bytes()
        return Response(content, media_type=_ASSETS[name], headers=_HEADERS)

    @router.get("/people")
    async def people() -> list[JsonObject]:
        return list(service.account.users.values())

    @router.get("/chats/{chat_id}/bot")
    async def bot(chat_id: int) -> JsonObject:
        commands = service.account.commands
        menu = commands.get("all_private_chats:") or commands.get("default:", [])
        return {"bot": service.account.bot, "commands": menu}

    @router.get("/chats/{chat_id}/events")
    async def events(
        chat_id: int, last_event_id: Annotated[int, Header()] = 0
    ) -> StreamingResponse:
        frames = _frames(service, chat_id, last_event_id)
        return StreamingResponse(
            frames, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    @router.get("/files/{file_id}")
    async def file(file_id: str) -> Response:
        found = service.account.files.get(file_id)
        if found is None:
            return Response(status_code=404)
        # Never shown inline: what an agent sends must not run in the page's origin.
        name = quote(found.name, safe="")
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
            "x-content-type-options": "nosniff",
        }
        return Response(found.content, media_type="application/octet-stream", headers=headers)

    return router


async def _frames(service: TelegramService, chat_id: int, after: int) -> AsyncIterator[str]:
    def wanted(entry: Entry) -> bool:
        return entry.chat_id == chat_id and entry.kind in _SHOWN

    yield "retry: 1000\n\n"
    while True:
        entries = await service.journal.wait_after(after, wanted, KEEP_ALIVE_SECONDS)
        if not entries:
            yield ": still here\n\n"
        for entry in entries:
            after = entry.sequence
            data = json.dumps({"kind": entry.kind, "at": entry.at, "data": entry.data})
            yield f"id: {entry.sequence}\ndata: {data}\n\n"
