"""What `make bench-api` fills a database with, and each call of it, on both databases."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime

from sqlalchemy import func, select

from agentsession_testing.orchestrator import Orchestrator
from orchestrator_api.tables import Article, Deployment, Project, Task, TaskEvent
from workbench.rates.calls import CALLS
from workbench.rates.driving import drive
from workbench.rates.filling import Size, fill

SMALL = Size(users=3, projects_of_a_user=2, articles=20, deployable=4, deployers=2, servers=2)


async def test_every_call_is_answered(orchestrator: Orchestrator) -> None:
    world = await fill(orchestrator.database, SMALL, datetime.now(UTC))
    async with orchestrator.database.reading() as session:
        counted = [
            await session.scalar(select(func.count()).select_from(table))
            for table in (Project, Task, TaskEvent, Deployment, Article)
        ]
    assert counted == [3 * 2 + 4, 3 * 2 * 5, 3 * 2 * 5 * 4, 3 * 2 * 2, 20]
    async with orchestrator.client(None) as client:
        for call in CALLS:
            asked = (call.request(world, n) for n in itertools.count())
            requests = itertools.takewhile(lambda one: one is not None, itertools.islice(asked, 7))
            found = await drive(
                client,
                (one for one in requests if one is not None),
                callers=2,
                seconds=60,
                clock=time.monotonic,
            )
            expected = 4 if call.title == "deploy trigger" else 7
            assert (len(found.answered), dict(found.errors)) == (expected, {}), call.title
