"""Drives one call: so many callers, each of whom asks again as soon as it is answered (a closed loop)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from workbench.rates.calls import Request


@dataclass
class Driven:
    """What came of it. `answered`: the seconds that each answer took; `errors`: what else came, counted."""

    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


async def drive(
    client: httpx.AsyncClient,
    requests: Iterator[Request],
    *,
    callers: int,
    seconds: float,
    clock: Callable[[], float],
) -> Driven:
    """Asks for so many seconds, or until there are no more requests."""
    driven = Driven()
    began = clock()

    async def caller() -> None:
        for request in requests:
            sent = clock()
            if sent - began >= seconds:
                return
            wrong = await _wrong(client, request)
            if wrong is None:
                driven.answered.append(clock() - sent)
            else:
                driven.errors[wrong] += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    driven.seconds = clock() - began
    return driven


async def _wrong(client: httpx.AsyncClient, request: Request) -> str | None:
    """Why it is no answer, or None."""
    try:
        response = await client.request(
            request.method,
            request.path,
            params=request.query,
            json=request.body,
            headers=request.headers,
        )
    except httpx.HTTPError as error:
        return type(error).__name__
    return None if response.is_success else _said(response)


def _said(response: httpx.Response) -> str:
    try:
        code = response.json()["code"]
    except (ValueError, KeyError, TypeError):
        code = "and no problem"
    return f"status {response.status_code} {code}"
