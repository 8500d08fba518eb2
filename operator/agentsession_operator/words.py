"""What a session's people are told, in their chat and as an Event."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import structlog

from agentsession_core.api import WhenDeleted
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.notices import end_notice
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.assess import moment
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError, ConflictError
from agentsession_operator.model import Key
from agentsession_operator.recovery import LOST_PROMPT
from agentsession_operator.story import NORMAL, WARNING, EventText
from agentsession_operator.world import TellLost, WarnOfEnd, World

log = structlog.get_logger(__name__)


class Words:
    """Each is said once, however often a crash has it said again. Raises redis.RedisError.

    First the words, then the note that they were said.
    """

    def __init__(self, cluster: Cluster, store: MailboxStore) -> None:
        self._cluster = cluster
        self._store = store

    async def say(self, key: Key, world: World, action: WarnOfEnd | TellLost) -> None:
        """Says it, and notes that it was said."""
        match action:
            case WarnOfEnd():
                await self._warn(key, world, action)
            case TellLost():
                await self._tell_lost(key, world, action)

    async def _warn(self, key: Key, world: World, action: WarnOfEnd) -> None:
        mailbox, box = world.session.mailbox, world.mailbox
        identity = end_notice(world.uid, action.end)
        if box.source is not None:
            await self._store.notice(
                mailbox,
                notice=identity,
                text=warning_text(world, action.end),
                source=Source(box.source),
                chat=box.chat or "",
            )
        event = EventText(NORMAL, "ExpiresSoon", expiry_text(world, action.end))
        await self._tell(key, world, identity, event)
        await self._store.note_warning(mailbox, session_uid=world.uid, end=action.end)
        log.info("told of its end", end=action.end)

    async def _tell_lost(self, key: Key, world: World, action: TellLost) -> None:
        mailbox, message = world.session.mailbox, action.message
        identity = f"lost.{world.uid}.{message}"
        is_prompt = message == LOST_PROMPT
        if not is_prompt:
            # Redis has forgotten the chat: a bridge knows which one is the mailbox's own.
            await self._store.notice(
                mailbox,
                notice=identity,
                text="Your last message was lost in a failure and has got no answer. Send it again.",
                source=Source.API,
                reply_to=[message],
            )
        what = "The prompt" if is_prompt else f"Message {message}"
        again = "change it to send it again" if is_prompt else "its sender was told"
        text = f"{what} was lost with Redis' state and may have got no answer; {again}."
        await self._tell(key, world, identity, EventText(WARNING, "MessageLost", text))
        await self._store.forget_lost(mailbox, message=message)
        log.warning("message lost", message_id=message)

    async def _tell(self, key: Key, world: World, identity: str, event: EventText) -> None:
        name = f"{key.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        at = datetime.fromtimestamp(world.now, UTC)
        try:
            await self._cluster.create_event(key, world.uid, name, event, at)
        except ConflictError:
            return
        except ClusterError as error:
            # An Event is a courtesy: it must not keep the rest from being said.
            log.warning(
                "event not written",
                reason=event.reason,
                error=str(error),
            )


def _ends_of_age(world: World, end: int) -> bool:
    created, lifetime = world.session.metadata.creation_timestamp, world.effective.max_lifetime
    return (
        lifetime is not None and created is not None and int(created.timestamp() + lifetime) == end
    )


def warning_text(world: World, end: int) -> str:
    """The warning in the chat."""
    what = "The conversation"
    if world.effective.when_deleted is WhenDeleted.DELETE:
        what = "The conversation and the files in its workspace"
    at = f"{moment(end):%Y-%m-%d %H:%M} UTC"
    if _ends_of_age(world, end):
        return f"{what} will be deleted at {at}: the session's lifetime is over then. Save what you need."
    return f"{what} will be deleted at {at}, since nothing happens here. Send any message to keep them."


def expiry_text(world: World, end: int) -> str:
    """The warning in the Event."""
    at = f"{moment(end):%Y-%m-%dT%H:%M:%SZ}"
    if _ends_of_age(world, end):
        return f"It will be deleted at {at}: run.maxLifetimeSeconds is over then"
    return f"It will be deleted at {at} if nothing happens; a message or `kubectl agents keep` keeps it"
