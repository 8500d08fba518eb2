"""The migrations make exactly the tables that the code works with."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agentsession_testing.orchestrator import Orchestrator, opened
from orchestrator_api.migrating import configuration, migrate, newest, outdated
from orchestrator_api.tables import Table


async def test_they_agree(new_database_url: str) -> None:
    database = opened(new_database_url)

    def ours(_: object, name: str | None, *__: object) -> bool:
        # The index of words is each database's own; Alembic knows neither.
        return not (name or "").startswith(("articles_words", "ix_articles_words"))

    def differences(connection: sa.Connection) -> object:
        options = {"compare_type": True, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, Table.metadata)

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


def test_what_refers_to_something_is_found_without_reading_all() -> None:
    # Whoever deletes a row looks for what refers to it, in every such table.
    missing = [
        f"{table.name}.{key.parent.name}"
        for table in Table.metadata.sorted_tables
        for key in table.foreign_keys
        if key.parent.name not in set(_leading(table))
    ]
    assert missing == []


def _leading(table: sa.Table) -> Iterator[str]:
    yield next(iter(table.primary_key)).name
    yield from (next(iter(index.columns)).name for index in table.indexes)
    for constraint in table.constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            yield next(iter(constraint.columns)).name


async def test_back_and_forth(new_database_url: str) -> None:
    database = opened(new_database_url)

    def back(connection: sa.Connection) -> None:
        command.downgrade(configuration(connection), "base")

    async with database.engine.begin() as connection:
        await connection.run_sync(back)
    assert newest() in (await outdated(database) or "")
    await migrate(database)
    await migrate(database)
    assert await outdated(database) is None
    await database.close()


async def test_an_older_schema_is_not_ready(orchestrator: Orchestrator) -> None:
    async with orchestrator.client(None) as client:
        assert (await client.get("/readyz")).status_code == 200

        def back(connection: sa.Connection) -> None:
            command.downgrade(configuration(connection), "base")

        async with orchestrator.database.engine.begin() as connection:
            await connection.run_sync(back)
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "orchestrator-api migrate" in answer.text
