"""The routes under /_control: people act, tests look and order faults. The bot never calls them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, HTTPException, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from agentsession_dev.telegram_server.account import Chat
from agentsession_dev.telegram_server.faults import Fault
from agentsession_dev.telegram_server.journal import Entry, Kind
from agentsession_dev.telegram_server.people import Writing
from agentsession_dev.telegram_server.sending import Upload
from agentsession_dev.telegram_server.service import TelegramService

JsonObject = dict[str, Any]

MAX_WAIT_SECONDS = 300


class Body(BaseModel):
    """Base of what the routes take: nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Person(Body):
    """A person who opens the bot's chat."""

    id: int = Field(gt=0)
    first_name: str = Field(min_length=1, max_length=64)
    username: str = ""


class Group(Body):
    """A group the bot is in. Supergroups have ids below -1000000000000."""

    id: int = Field(lt=0)
    type: Literal["group", "supergroup"] = "supergroup"
    title: str
    topics: list[int] = Field(default_factory=list)


class Editing(Body):
    """A person's new text for their message."""

    text: str = Field(min_length=1, max_length=4096)


class Press(Body):
    """A pressed button."""

    user_id: int
    data: str


class RawUpdate(Body):
    """An update of any kind, as it is."""

    kind: str
    payload: JsonObject


def control_router(service: TelegramService) -> APIRouter:
    """Return the routes that steer one stand-in."""
    router = APIRouter(prefix="/_control")
    _add_places(router, service)
    _add_acts(router, service)
    _add_looks(router, service)
    _add_faults(router, service)
    return router


def _add_places(router: APIRouter, service: TelegramService) -> None:
    @router.post("/people")
    async def add_person(person: Person) -> JsonObject:
        return service.people.join(person.id, person.first_name, person.username)

    @router.post("/groups")
    async def add_group(group: Group) -> JsonObject:
        chat = Chat(
            group.id,
            group.type,
            title=group.title,
            is_forum=bool(group.topics),
            topics=set(group.topics),
        )
        return service.account.add_chat(chat).json()

    @router.post("/people/{user_id}/block", status_code=204)
    async def block(user_id: int) -> None:
        service.people.set_blocked(user_id, True)

    @router.post("/people/{user_id}/unblock", status_code=204)
    async def unblock(user_id: int) -> None:
        service.people.set_blocked(user_id, False)

    @router.post("/groups/{chat_id}/migrate/{new_id}", status_code=204)
    async def migrate(chat_id: int, new_id: int) -> None:
        service.people.migrate(chat_id, new_id)


def _add_acts(router: APIRouter, service: TelegramService) -> None:
    @router.post("/messages")
    async def write(writing: Writing) -> JsonObject:
        return service.people.write(writing)

    @router.post("/files")
    async def send_file(
        user_id: Annotated[int, Form()],
        file: Annotated[UploadFile, File()],
        chat_id: Annotated[int | None, Form()] = None,
        caption: Annotated[str, Form()] = "",
        message_thread_id: Annotated[int | None, Form()] = None,
        media: Annotated[Literal["document", "photo", "voice"], Form()] = "document",
    ) -> JsonObject:
        upload = Upload(
            file.filename or "file",
            file.content_type or "application/octet-stream",
            await file.read(),
        )
        writing = Writing(
            user_id=user_id, chat_id=chat_id, text=caption, message_thread_id=message_thread_id
        )
        return service.people.write(writing, upload, media)

    @router.put("/chats/{chat_id}/messages/{message_id}")
    async def edit(chat_id: int, message_id: int, editing: Editing) -> JsonObject:
        return service.people.edit(chat_id, message_id, editing.text)

    @router.post("/chats/{chat_id}/messages/{message_id}/press")
    async def press(chat_id: int, message_id: int, pressed: Press) -> dict[str, str]:
        query = service.people.press(pressed.user_id, chat_id, message_id, pressed.data)
        return {"callback_query_id": query}

    @router.post("/people/{user_id}/stop", status_code=204)
    async def stop_draft(user_id: int) -> None:
        service.people.stop_draft(user_id)

    @router.post("/updates")
    async def raw_update(update: RawUpdate) -> dict[str, int | None]:
        return {"update_id": service.updates.add(update.kind, update.payload)}

    @router.put("/updates/next-id/{next_id}", status_code=204)
    async def restart_ids(next_id: int) -> None:
        service.updates.restart_ids(next_id)


def _add_looks(router: APIRouter, service: TelegramService) -> None:
    @router.get("/journal")
    async def journal(
        after: Annotated[int, Query(ge=0)] = 0,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
        kind: Kind | None = None,
        chat_id: int | None = None,
        method: str | None = None,
    ) -> JsonObject:
        def wanted(entry: Entry) -> bool:
            return (
                kind in (None, entry.kind)
                and chat_id in (None, entry.chat_id)
                and method in (None, entry.data.get("method"))
            )

        found = await service.journal.wait_after(after, wanted, wait)
        return {"last": service.journal.last_sequence, "entries": found}

    @router.get("/chats/{chat_id}")
    async def transcript(chat_id: int) -> JsonObject:
        chat = service.account.chats.get(chat_id)
        if chat is None:
            raise HTTPException(404, f"there is no chat {chat_id}")
        return {
            "chat": chat.json(),
            "messages": list(chat.messages.values()),
            "reactions": chat.reactions,
            "draft": chat.draft,
        }

    @router.get("/state")
    async def state() -> JsonObject:
        return {
            "pending_updates": service.updates.pending,
            "webhook": service.webhook.info(),
            "commands": service.account.commands,
            "people": list(service.account.users.values()),
            "chats": [chat.json() for chat in service.account.chats.values()],
            "faults": service.faults.remaining,
        }


def _add_faults(router: APIRouter, service: TelegramService) -> None:
    @router.post("/faults")
    async def inject(fault: Fault) -> dict[str, int]:
        service.faults.inject(fault)
        return {"remaining": service.faults.remaining}

    @router.delete("/faults", status_code=204)
    async def clear() -> None:
        service.faults.clear()

    @router.put("/flood-limits/{state}", status_code=204)
    async def flood_limits(state: Literal["on", "off"]) -> None:
        service.limits.enabled = state == "on"
