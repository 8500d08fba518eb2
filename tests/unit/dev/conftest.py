from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from model_server_client import FakeTime, client_for, rules


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def client(fake_time: FakeTime) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a scripted model server that echoes."""
    async with client_for(rules(), fake_time) as found:
        yield found
