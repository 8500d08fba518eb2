"""The schema's versions, by Alembic."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from orchestrator_api.database import Database

# Two replicas that start at the same time migrate one after the other.
LOCK: Final = 7_230_145


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration: there is no file of it."""
    config = Config()
    config.set_main_option("script_location", str(files("orchestrator_api") / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The revision that this release works with."""
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    if head is None:
        raise RuntimeError("the migrations are not part of this installation")
    return head


async def migrate(database: Database) -> None:
    """Brings the schema to this release's revision. Raises SQLAlchemy's errors."""

    def upgrade(connection: Connection) -> None:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        command.upgrade(configuration(connection), "head")

    async with database.engine.begin() as connection:
        await connection.run_sync(upgrade)


async def outdated(database: Database) -> str | None:
    """What is wrong with the schema's revision, or None. Raises SQLAlchemy's errors."""

    def current(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.engine.connect() as connection:
        found = await connection.run_sync(current)
    if found == newest():
        return None
    return f"the schema is of revision {found}, not {newest()}: run orchestrator-api migrate"
