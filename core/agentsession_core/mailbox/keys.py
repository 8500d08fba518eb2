"""The names of all Redis keys. A mailbox's keys start with `user:<mailbox>:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = "agent"
CONSUMER: Final = "agent"

SESSIONS_EVENTS: Final = "sessions:events"
SESSIONS_EPOCH: Final = "sessions:epoch"
SESSIONS_MAILBOXES: Final = "sessions:mailboxes"
SESSIONS_BACKLOG: Final = "sessions:backlog"
SESSIONS_ACTIVITY: Final = "sessions:activity"
# Sorted set of the mailboxes that wait for a run: score = place in their queue, from 1. Chats and tasks
# queue apart. Written by the operator as a whole, at most every two seconds; it expires with it.
SESSIONS_QUEUE: Final = "sessions:queue"
SESSIONS_UNDELIVERED: Final = "sessions:undelivered"
OUTGOING_READY: Final = "outgoing:ready"
# Sorted set of the bridge's codes that wait to be approved: score = their end. And a set: who was let in.
PAIRING_CODES: Final = "pairing:codes"
PAIRING_PEOPLE: Final = "pairing:people"
# Name of the bridge that polls and delivers, as long as it renews it; and a hash: person → kind of agent.
BRIDGE_LEASE: Final = "bridge:lease"
BRIDGE_ROUTES: Final = "bridge:routes"
ENGINEERING_QUEUE: Final = "engineering:queue"
DEPLOY_QUEUE: Final = "deploy:queue"
# What people have decided in their chats on what agents ask: from the bridge to the orchestrator.
DECISIONS: Final = "orchestrator:decisions"


@dataclass(frozen=True)
class MailboxKeys:
    """The keys of one mailbox."""

    mailbox: str

    def _key(self, name: str) -> str:
        return f"user:{self.mailbox}:{name}"

    @property
    def incoming(self) -> str:
        return self._key("incoming")

    @property
    def outgoing(self) -> str:
        return self._key("outgoing")

    @property
    def events(self) -> str:
        return self._key("events")

    @property
    def control(self) -> str:
        return self._key("control")

    @property
    def dead(self) -> str:
        return self._key("dead")

    @property
    def state(self) -> str:
        return self._key("mailbox")

    @property
    def run(self) -> str:
        return self._key("run")

    @property
    def turn(self) -> str:
        return self._key("turn")

    @property
    def last(self) -> str:
        return self._key("last")

    @property
    def prompt(self) -> str:
        return self._key("prompt")

    @property
    def usage(self) -> str:
        return self._key("usage")

    @property
    def export(self) -> str:
        return self._key("export")

    @property
    def files(self) -> str:
        """Files on their way out: one field for each."""
        return self._key("files")

    def file(self, file: str) -> str:
        """The bytes of one of them, in pieces."""
        return self._key(f"file:{file}")

    @property
    def notices(self) -> str:
        return self._key("notices")

    @property
    def said(self) -> str:
        """Ids of what an agent said in the middle of a turn, for a day: the same is said once."""
        return self._key("said")

    @property
    def sent(self) -> str:
        """Which messages of an entry of `outgoing` were sent, while it is being delivered."""
        return self._key("sent")

    @property
    def ended(self) -> str:
        """The uid of the session that ended with this mailbox last; goes by itself after a day."""
        return self._key("ended")

    def seen(self, source: str, message: str) -> str:
        """Says that this message of this source came in; goes by itself after 48 hours."""
        return self._key(f"seen:{source}:{message}")


def daily_usage(user: str, day: str) -> str:
    """Key of a user's sums of one day (`YYYY-MM-DD`, UTC), kept 40 days."""
    return f"usage:{user}:{day}"


def hourly_messages(person: int, hour: int) -> str:
    """Key of how many messages a person has sent in an hour (since the epoch); kept for that hour."""
    return f"messages:{person}:{hour}"


def pairing_code(code: str) -> str:
    """Key of whose code it is; gone with the code."""
    return f"pairing:code:{code}"


def pairing_person(person: int) -> str:
    """Key of a person's code; gone with the code."""
    return f"pairing:person:{person}"


def task_events(task: str) -> str:
    """Stream of what happens to a task, trimmed."""
    return f"task:{task}:events"


def published(key: str) -> str:
    """Says that the entry of the orchestrator's outbox is in its stream; goes by itself after 48 hours."""
    return f"outbox:{key}"
