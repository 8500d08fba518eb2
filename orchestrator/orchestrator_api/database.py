"""The one place that opens connections to the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from agentsession_core.settings import DATABASE_PASSWORD, DatabaseSettings

BUSY_MILLISECONDS: Final = 10_000
STATEMENT_MILLISECONDS: Final = 30_000
_WRITES: Final = "orchestrator_writes"


def database_url(settings: DatabaseSettings, password: SecretStr | None) -> URL:
    """The URL with its driver and the password."""
    url = make_url(settings.url)
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite+aiosqlite")
    secret = password.get_secret_value() if password else None
    return url.set(drivername="postgresql+asyncpg", password=secret)


def database_refused(settings: DatabaseSettings, error: Exception) -> str:
    """Why the database cannot be used and what to do about it.

    Never the error's own text: that has the statement and its values.
    """
    url = make_url(settings.url)
    # SQLAlchemy's error, the driver's, and what PostgreSQL said.
    said = getattr(error, "orig", None) or error
    kind = type(said.__cause__ or said).__name__
    if url.get_backend_name() == "sqlite":
        return f"{url.database} cannot be used ({kind}): it must be a file in a folder to write in"
    return (
        f"PostgreSQL at {url.host}:{url.port or 5432} cannot be used ({kind}): is it there, has it "
        f"database {url.database}, and is the secret file {DATABASE_PASSWORD} user {url.username}'s?"
    )


class Database:
    """Transactions: `reading` and `writing`. Both raise SQLAlchemy's errors."""

    def __init__(self, url: URL, connections: int = 10) -> None:
        self.is_sqlite: Final = url.get_backend_name() == "sqlite"
        self.engine: Final = _sqlite(url) if self.is_sqlite else _postgresql(url, connections)
        self._writers: Final = self.engine.execution_options(**{_WRITES: True})
        # SQLite has one writer, and those who wait for its lock sleep and try: here they queue.
        self._turn: Final = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A transaction that changes nothing."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is committed at the end, or rolled back by an exception."""
        async with AsyncExitStack() as stack:
            if self.is_sqlite:
                await stack.enter_async_context(self._turn)
            session = await stack.enter_async_context(
                AsyncSession(self._writers, expire_on_commit=False)
            )
            async with session.begin():
                yield session

    async def close(self) -> None:
        """Closes the connections."""
        await self.engine.dispose()


def _postgresql(url: URL, connections: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        # Values are secrets, too: none in an exception's text.
        hide_parameters=True,
        connect_args={
            "timeout": 5,
            "server_settings": {
                "application_name": "orchestrator-api",
                "timezone": "UTC",
                "statement_timeout": str(STATEMENT_MILLISECONDS),
                # Whoever waits for a row that is never let go says so instead of hanging.
                "lock_timeout": str(STATEMENT_MILLISECONDS),
            },
        },
    )


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, and only before the first change.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_MILLISECONDS}",
            # With WAL a power cut may take the newest commits in any other mode.
            "synchronous=FULL",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could not get the lock in the middle.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
