"""`orchestrator-api`: puts the process together and runs it."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import uvicorn
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from agentsession_core import kube, logs, naming
from agentsession_core.cluster import KubernetesCluster
from agentsession_core.identity import TokenIdentity
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import (
    CONFIG_FILE,
    DATABASE_PASSWORD,
    ENCRYPTION_KEY,
    REDIS_PASSWORD,
    SECRETS_DIRECTORY,
    SecretFiles,
    Settings,
    SettingsError,
    load_settings,
)
from agentsession_core.tasks import run_until_first_ends
from orchestrator_api.app import create_app
from orchestrator_api.callers import Scope
from orchestrator_api.database import Database, database_url
from orchestrator_api.deps import Deps
from orchestrator_api.migrating import migrate, outdated
from orchestrator_api.relay import Relay
from orchestrator_api.sealing import Sealer, SealError
from orchestrator_api.tables import ApiToken
from orchestrator_api.tokens import make_token
from orchestrator_api.views import UserId

SHUTDOWN_SECONDS = 25


def new_id() -> str:
    """Twelve hexadecimal digits."""
    return secrets.token_hex(6)


def open_database(settings: Settings, secret_files: SecretFiles) -> Database:
    """The database that the settings name."""
    database = settings.orchestrator.database
    return Database(
        database_url(database, secret_files.read(DATABASE_PASSWORD)), database.connections
    )


def sealer_of(secret_files: SecretFiles) -> Sealer | None:
    """What seals secrets; None where no key is given. Raises SealError."""
    keys = secret_files.read(ENCRYPTION_KEY)
    return None if keys is None else Sealer(keys)


async def serve(settings: Settings, secret_files: SecretFiles, host: str, *, cluster: bool) -> None:
    """Runs the API until it is told to stop. Raises kube.KubeConfigError, SQLAlchemyError."""
    database = open_database(settings, secret_files)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        if database.is_sqlite:
            # One process, one file: there is nobody else who could migrate it.
            await migrate(database)
        redis = await stack.enter_async_context(
            connect(settings.redis.url, secret_files.read(REDIS_PASSWORD))
        )
        identity = None
        if cluster:
            api = await stack.enter_async_context(kube.connect("orchestrator-api"))
            identity = TokenIdentity(
                KubernetesCluster(api),
                naming.AUDIENCE_ORCHESTRATOR,
                settings.session_namespaces,
                time.monotonic,
            )
        publishing = Publishing(redis)
        relay = Relay(database, publishing)
        deps = Deps(
            database=database,
            identity=identity,
            runs=MailboxStore(redis),
            now=lambda: datetime.now(UTC),
            new_id=new_id,
            committed=relay.committed,
            strict_approvals=settings.orchestrator.approvals == "All",
            sealer=sealer_of(secret_files),
            streams=publishing,
        )
        config = uvicorn.Config(
            create_app(deps),
            host=host,
            port=settings.orchestrator.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        await run_until_first_ends(uvicorn.Server(config).serve(), relay.run())


async def make_first_token(
    database: Database, user: str, scopes: list[str], days: int | None, name: str
) -> str:
    """Makes a token without one: for whoever may run programs beside the database."""
    made = make_token(new_id())
    now = datetime.now(UTC)
    async with database.writing() as session:
        session.add(
            ApiToken(
                id=made.id,
                user_id=user,
                name=name,
                sha256=made.sha256,
                scopes=sorted(scopes),
                created_by="orchestrator-api",
                created_at=now,
                expires_at=None if days is None else now + timedelta(days=days),
            )
        )
    return made.text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="orchestrator-api", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(CONFIG_FILE), help="YAML file")
    parser.add_argument(
        "--secrets", type=Path, default=Path(SECRETS_DIRECTORY), help="folder of secret files"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="answer requests")
    serving.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104
    serving.add_argument(
        "--no-cluster", action="store_true", help="take API tokens only, no run pods'"
    )
    commands.add_parser("migrate", help="bring the database to this release's schema")
    token = commands.add_parser("create-token", help="make an API token and print it")
    token.add_argument("--user", required=True, help="whose token it is")
    token.add_argument("--name", default="first", help="what people call it")
    token.add_argument("--days", type=int, help="days it is valid; without it, until revoked")
    token.add_argument(
        "--scope", action="append", choices=[scope.value for scope in Scope], required=True
    )
    return parser


async def _carry_out(arguments: argparse.Namespace, settings: Settings) -> None:
    secret_files = SecretFiles(arguments.secrets)
    if arguments.command == "serve":
        await serve(settings, secret_files, arguments.host, cluster=not arguments.no_cluster)
        return
    database = open_database(settings, secret_files)
    try:
        if arguments.command == "migrate" or database.is_sqlite:
            await migrate(database)
        if arguments.command == "create-token":
            wrong = await outdated(database)
            if wrong is not None:
                sys.exit(f"orchestrator-api: {wrong}")
            print(
                await make_first_token(
                    database, arguments.user, arguments.scope, arguments.days, arguments.name
                )
            )
    finally:
        await database.close()


def main() -> None:
    """Entry point of the console script."""
    arguments = _parser().parse_args()
    try:
        settings = load_settings(arguments.config)
        if arguments.command == "create-token":
            TypeAdapter(UserId).validate_python(arguments.user)
    except SettingsError as error:
        sys.exit(f"orchestrator-api: {error}")
    except ValidationError:
        sys.exit(f"orchestrator-api: {arguments.user!r} cannot be a user's id")
    logs.configure(settings.log_level, "orchestrator")
    # uvicorn raises the signal that stopped it once more: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if arguments.command == "serve":
        structlog.get_logger(__name__).info("starting", config=str(arguments.config))
    try:
        asyncio.run(_carry_out(arguments, settings))
    except (kube.KubeConfigError, SealError) as error:
        sys.exit(f"orchestrator-api: {error}")
    except (SQLAlchemyError, OSError) as error:
        # Its text has the statement and its values: the name says enough.
        sys.exit(f"orchestrator-api: the database cannot be used: {type(error).__name__}")


if __name__ == "__main__":
    main()
