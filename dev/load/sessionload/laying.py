"""Sessions at rest by the thousand: copies of one that has lived, put into etcd and Redis.

A whole life costs a control plane half a second of processor. What it leaves behind is a session, a
claim, a volume and a mailbox: they are copied as they are stored, as a restored backup of etcd and Redis
would bring them. The operator does not run meanwhile. When it starts it has nothing to write about them,
and `measure_restart` counts that.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_fields, read_text
from sessionload.api import Api, core_path, sessions_path
from sessionload.cost import REGISTRY, Etcd

AT_ONCE: Final = 40
HASH: Final = b"hash"
VOLUMES: Final = "/api/v1/persistentvolumes"


@dataclass(frozen=True)
class Model:
    """The session that is copied; `stored` is etcd's keys and values of it, its claim and volume.

    Stored objects are partly binary, with lengths in them: whatever stands for a name is as long.
    """

    name: str
    uids: tuple[str, ...]
    stored: dict[bytes, bytes]
    hashes: dict[str, dict[str, str]]
    dumps: dict[str, bytes]
    activity: float | None

    def copy_of(self, number: int) -> str:
        """The name of a copy, as long as the model's."""
        return f"laid-{number:0{len(self.name) - len('laid-')}d}"


async def read_model(api: Api, redis: Redis, etcd: Etcd, namespace: str, name: str) -> Model:
    """Reads a session at rest. Raises ApiError, OSError."""
    session = await api.get(sessions_path(namespace, name))
    claim_name = naming.volume_claim_name(name)
    claim = await api.get(core_path(namespace, "persistentvolumeclaims", claim_name))
    volume = await api.get(f"{VOLUMES}/{claim['spec']['volumeName']}")
    places = (
        f"{naming.GROUP}/{naming.SESSION_PLURAL}/{namespace}/{name}",
        f"persistentvolumeclaims/{namespace}/{claim_name}",
        f"persistentvolumes/{volume['metadata']['name']}",
    )
    stored = {}
    for place in places:
        key = f"{REGISTRY}{place}".encode()
        stored[key] = await asyncio.to_thread(etcd.get, key)
    hashes: dict[str, dict[str, str]] = {}
    dumps: dict[str, bytes] = {}
    async for redis_key in _keys(redis, name):
        part = redis_key.removeprefix(_prefix(name))
        if await redis.type(redis_key) == HASH:
            fields = await redis.hgetall(redis_key)
            hashes[part] = read_fields(fields)
        else:
            # Streams with their groups; nothing in them names the session.
            dumps[part] = await redis.dump(redis_key) or b""
    return Model(
        name=name,
        uids=tuple(body["metadata"]["uid"] for body in (session, claim, volume)),
        stored=stored,
        hashes=hashes,
        dumps=dumps,
        activity=await redis.zscore(keys.SESSIONS_ACTIVITY, name),
    )


async def lay(redis: Redis, etcd: Etcd, model: Model, numbers: range) -> list[str]:
    """Lays copies with these numbers; answers their names. Raises OSError, redis.RedisError."""
    pending, laid = iter(numbers), list[str]()
    while some := list(islice(pending, AT_ONCE)):
        copies = [_Copy(model, number) for number in some]
        # Mailboxes first: a session is never there without one.
        await _lay_mailboxes(redis, copies)
        objects = [item for copy in copies for item in copy.objects()]
        await asyncio.to_thread(etcd.put, objects)
        laid += [copy.name for copy in copies]
    return laid


class _Copy:
    """One copy, with names and uids of its own."""

    def __init__(self, model: Model, number: int) -> None:
        self.model = model
        self.name = model.copy_of(number)
        self._own = {model.name: self.name, **{uid: str(uuid.uuid4()) for uid in model.uids}}

    def objects(self) -> list[tuple[bytes, bytes]]:
        """Keys and values for etcd."""
        stored = self.model.stored.items()
        return [(self._renamed(key), self._renamed(value)) for key, value in stored]

    def fields(self, part: str) -> dict[Any, Any]:
        """One hash of the mailbox."""
        return {
            key: self._renamed(value.encode()).decode()
            for key, value in self.model.hashes[part].items()
        }

    def _renamed(self, text: bytes) -> bytes:
        for theirs, own in self._own.items():
            text = text.replace(theirs.encode(), own.encode())
        return text


async def _lay_mailboxes(redis: Redis, copies: Sequence[_Copy]) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        for copy in copies:
            prefix, model = _prefix(copy.name), copy.model
            for part in model.hashes:
                pipe.hset(prefix + part, mapping=copy.fields(part))
            for part, dump in model.dumps.items():
                pipe.restore(prefix + part, 0, dump, replace=True)
            pipe.sadd(keys.SESSIONS_MAILBOXES, copy.name)
            if model.activity is not None:
                pipe.zadd(keys.SESSIONS_ACTIVITY, {copy.name: model.activity})
        await pipe.execute()


def _prefix(name: str) -> str:
    return MailboxKeys(name).state.removesuffix("mailbox")


async def _keys(redis: Redis, name: str) -> AsyncIterator[str]:
    async for key in redis.scan_iter(match=f"{_prefix(name)}*"):
        yield read_text(key)
