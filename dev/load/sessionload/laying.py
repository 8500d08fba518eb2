"""Sessions at rest by the thousand: copies of one that has lived, in the API server and in Redis.

A whole life costs a control plane half a second of processor; what a life leaves behind can be laid down
in a twentieth of that. The operator does not run meanwhile. When it starts it finds what a restore would
show it, and has nothing to write: `measure_restart` counts that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from agentsession_core import naming
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.parse import read_text
from sessionload.api import Api, Body, core_path, sessions_path

AT_ONCE = 16
HASH = b"hash"
VOLUMES = "/api/v1/persistentvolumes"
# Of a read object: what the API server gives each object anew.
_OWN = frozenset({"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"})


@dataclass(frozen=True)
class Model:
    """The session that is copied, as it is stored."""

    name: str
    uid: str
    session: Body
    claim: Body
    volume: Body
    hashes: dict[str, dict[str, str]]
    dumps: dict[str, bytes]
    activity: float | None


async def read_model(api: Api, redis: Redis, namespace: str, name: str) -> Model:
    """Reads a session at rest. Raises ApiError."""
    session = await api.get(sessions_path(namespace, name))
    claim_name = naming.volume_claim_name(name)
    claim = await api.get(core_path(namespace, "persistentvolumeclaims", claim_name))
    volume = await api.get(f"{VOLUMES}/{claim['spec']['volumeName']}")
    hashes: dict[str, dict[str, str]] = {}
    dumps: dict[str, bytes] = {}
    async for key in _keys(redis, name):
        part = key.removeprefix(_prefix(name))
        if await redis.type(key) == HASH:
            fields = await redis.hgetall(key)
            hashes[part] = {read_text(k): read_text(v) for k, v in fields.items()}
        else:
            # Streams with their groups; nothing in them names the session.
            dumps[part] = await redis.dump(key) or b""
    activity = await redis.zscore(keys.SESSIONS_ACTIVITY, name)
    return Model(name, session["metadata"]["uid"], session, claim, volume, hashes, dumps, activity)


class Layer:
    """Lays copies of a model."""

    def __init__(self, api: Api, redis: Redis, namespace: str, model: Model) -> None:
        self._api = api
        self._redis = redis
        self._namespace = namespace
        self._model = model

    async def lay(self, names: Iterable[str]) -> None:
        """Lays a copy for every name, some at once. Raises ApiError, redis.RedisError."""
        pending = iter(names)

        async def work() -> None:
            for name in pending:
                await self._lay(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    async def _lay(self, name: str) -> None:
        path = sessions_path(self._namespace)
        made = await self._api.post(path, self._copy(self._model.session, name, ""))
        uid = made["metadata"]["uid"]
        # Redis first: once the status is there the session counts as one that has lived.
        await self._lay_mailbox(name, uid)
        await self._lay_volume(name, uid)
        status = self._copy(self._model.session, name, uid)["status"]
        await self._api.patch(f"{path}/{name}/status", {"status": status})

    async def _lay_volume(self, name: str, uid: str) -> None:
        """A claim and its volume, bound to each other already: nobody has anything to do."""
        claims = core_path(self._namespace, "persistentvolumeclaims")
        claim = self._copy(self._model.claim, name, uid)
        volume = self._copy(self._model.volume, name, uid)
        volume["metadata"]["name"] = claim["spec"]["volumeName"] = f"laid-{uid}"
        made = await self._api.post(claims, claim)
        volume["spec"]["claimRef"]["uid"] = made["metadata"]["uid"]
        volume["spec"]["claimRef"].pop("resourceVersion", None)
        await self._api.post(VOLUMES, volume)
        await self._api.patch(
            f"{VOLUMES}/{volume['metadata']['name']}/status", {"status": volume["status"]}
        )
        await self._api.patch(
            f"{claims}/{claim['metadata']['name']}/status", {"status": claim["status"]}
        )

    async def _lay_mailbox(self, name: str, uid: str) -> None:
        old, new = self._model, _prefix(name)
        async with self._redis.pipeline(transaction=True) as pipe:
            for part, fields in old.hashes.items():
                pipe.hset(new + part, mapping=self._fields(fields, name, uid))
            for part, dump in old.dumps.items():
                pipe.restore(new + part, 0, dump, replace=True)
            pipe.sadd(keys.SESSIONS_MAILBOXES, name)
            if old.activity is not None:
                pipe.zadd(keys.SESSIONS_ACTIVITY, {name: old.activity})
            await pipe.execute()

    def _fields(self, fields: dict[str, str], name: str, uid: str) -> dict[Any, Any]:
        return {key: self._renamed(value, name, uid) for key, value in fields.items()}

    def _copy(self, body: Body, name: str, uid: str) -> Body:
        copy: Body = json.loads(self._renamed(json.dumps(body), name, uid))
        copy["metadata"] = {k: v for k, v in copy["metadata"].items() if k not in _OWN}
        return copy

    def _renamed(self, text: str, name: str, uid: str) -> str:
        return text.replace(self._model.uid, uid or "none").replace(self._model.name, name)


def _prefix(name: str) -> str:
    return MailboxKeys(name).state.removesuffix("mailbox")


async def _keys(redis: Redis, name: str) -> AsyncIterator[str]:
    async for key in redis.scan_iter(match=f"{_prefix(name)}*"):
        yield read_text(key)
