"""The people whom `kubectl agents approve` has let in: a ConfigMap, followed by a watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

import aiohttp
import structlog
from pydantic import ValidationError
from redis import RedisError

from agentsession_bridge.pairing import Codes, Stranger
from agentsession_core.kube import (
    CORE,
    MERGE_PATCH,
    ApiClient,
    ApiError,
    collection_path,
    object_path,
)
from agentsession_core.pairing import (
    ANSWER,
    APPROVE,
    Answer,
    Approval,
    Paired,
    read_code,
    read_person,
)

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 300
RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 30.0
# Somebody may still be waiting for a younger one.
ANSWER_SECONDS: Final = 600.0


class PairedPeople:
    """Who is let in, and the approvals that come. `now`: Unix seconds."""

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        name: str,
        codes: Codes,
        welcome: Callable[[Stranger], None],
        now: Callable[[], float],
    ) -> None:
        self._api = api
        self._maps = collection_path(CORE, namespace, "configmaps")
        self._map = object_path(CORE, namespace, "configmaps", name)
        self._name = name
        self._codes = codes
        self._welcome = welcome
        self._now = now
        self.people: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Follow the ConfigMap until cancelled."""
        try:
            self.people = await self._codes.remembered()
        except RedisError as error:
            log.warning("paired people not remembered", error=type(error).__name__)
        pause = RETRY_SECONDS
        while True:
            try:
                await self._follow()
                pause = RETRY_SECONDS
            except (
                ApiError,
                aiohttp.ClientError,
                OSError,
                TimeoutError,
                RedisError,
            ) as error:
                reason = error.status if isinstance(error, ApiError) else type(error).__name__
                log.warning("paired people not followed", error=reason, retry_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    async def _follow(self) -> None:
        only = {"fieldSelector": f"metadata.name={self._name}"}
        found = await self._api.call(
            "GET", self._maps, query=only, timeout_seconds=REQUEST_TIMEOUT_SECONDS
        )
        for item in found["items"]:
            await self._read(item.get("data") or {})
        version = found["metadata"]["resourceVersion"]
        changes = self._api.watch(self._maps, version, seconds=WATCH_SECONDS, query=only)
        async with aclosing(changes) as events:
            async for event in events:
                if event["type"] == "ERROR":
                    return
                if event["type"] in ("ADDED", "MODIFIED"):
                    await self._read(event["object"].get("data") or {})
                elif event["type"] == "DELETED":
                    await self._read({})

    async def _read(self, data: Mapping[str, str]) -> None:
        people = frozenset(person for key in data if (person := read_person(key)) is not None)
        if people != self.people:
            self.people = people
            log.info("paired people read", users=len(people))
            await self._codes.remember(people)
        for key, value in data.items():
            if key.startswith(APPROVE):
                await self._approve(key, value, data)

    async def _approve(self, key: str, value: str, data: Mapping[str, str]) -> None:
        code = read_code(key.removeprefix(APPROVE))
        stranger = await self._codes.stranger_of(code) if code is not None else None
        by, now = _by(value), self._now()
        change: dict[str, str | None] = {key: None, **self._old_answers(data, now)}
        if code is not None:
            answer = Answer(at=now)
            if stranger is not None:
                answer = Answer(user=stranger.id, name=stranger.name, at=now)
                paired = Paired(name=stranger.name, approved_by=by, approved_at=now)
                change[f"user.{stranger.id}"] = paired.model_dump_json(by_alias=True)
            change[ANSWER + code] = answer.model_dump_json(by_alias=True)
        await self._patch(change)
        if code is None or stranger is None:
            log.warning("code unknown", approved_by=by)
            return
        log.info("let in", user=stranger.id, approved_by=by)
        await self._codes.used(code, stranger)
        self._welcome(stranger)

    def _old_answers(self, data: Mapping[str, str], now: float) -> dict[str, str | None]:
        return {
            key: None
            for key, value in data.items()
            if key.startswith(ANSWER) and now - _said_at(value) > ANSWER_SECONDS
        }

    async def _patch(self, change: Mapping[str, str | None]) -> None:
        await self._api.call(
            "PATCH",
            self._map,
            {"data": dict(change)},
            content_type=MERGE_PATCH,
            timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        )


def _by(value: str) -> str:
    try:
        return Approval.model_validate_json(value).by
    except ValidationError:
        return ""


def _said_at(value: str) -> float:
    try:
        return Answer.model_validate_json(value).at
    except ValidationError:
        return 0.0
