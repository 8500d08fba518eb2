"""What is still there after every session has been deleted."""

from __future__ import annotations

import asyncio
from typing import Final

from agentsession_core import naming
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.parse import read_text
from chaos.ground import Ground

LOOK_SECONDS: Final = 0.5
KINDS: Final = (naming.SESSION_PLURAL, "jobs", "pods", "persistentvolumeclaims")
INDEXES: Final = (keys.SESSIONS_MAILBOXES, keys.SESSIONS_BACKLOG)
TIMES: Final = (keys.SESSIONS_ACTIVITY, keys.SESSIONS_UNDELIVERED)


async def delete_sessions(ground: Ground) -> None:
    """Deletes every session, as `kubectl delete --all` does."""
    path = ground.objects(naming.SESSION_PLURAL)
    for session in (await ground.kube.get(path))["items"]:
        await ground.kube.delete(f"{path}/{session['metadata']['name']}")


async def wait_for_nothing(ground: Ground, seconds: float) -> list[str]:
    """What is left of the sessions after so long; nothing as soon as there is nothing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while left := await find_leftovers(ground):
        if loop.time() > deadline:
            return left
        await asyncio.sleep(LOOK_SECONDS)
    return []


async def find_leftovers(ground: Ground) -> list[str]:
    """Objects, containers and keys that belong to no session any more."""
    left = []
    for plural in KINDS:
        items = (await ground.kube.get(ground.objects(plural)))["items"]
        left += [f"{plural}/{item['metadata']['name']}" for item in items]
    left += [f"container of {pod.name}" for pod in ground.node.running]
    async for key in ground.redis.scan_iter("user:*"):
        name = read_text(key)
        # A message's id is remembered for 48 hours, whatever becomes of its session, and its end a day.
        if ":seen:" not in name and not name.endswith(":ended"):
            left.append(f"key {name}")
    for index in INDEXES:
        left += [f"{index}: {read_text(m)}" for m in await ground.redis.smembers(index)]
    for index in TIMES:
        left += [f"{index}: {read_text(m)}" for m in await ground.redis.zrange(index, 0, -1)]
    return left
