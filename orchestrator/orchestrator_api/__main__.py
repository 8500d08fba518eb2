"""`orchestrator-api`: the server, its migrations, and its first token."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from agentsession_core import kube, logs
from agentsession_core.settings import (
    CONFIG_FILE,
    SECRETS_DIRECTORY,
    SecretFiles,
    Settings,
    SettingsError,
    load_settings,
)
from orchestrator_api.callers import Scope
from orchestrator_api.database import Database, database_refused
from orchestrator_api.migrating import migrate, outdated
from orchestrator_api.serving import StartError, new_id, now, open_database, serve
from orchestrator_api.tables import ApiToken
from orchestrator_api.tokens import make_token
from orchestrator_api.views import UserId


async def make_first_token(
    database: Database, user: str, scopes: list[str], days: int | None, name: str
) -> str:
    """Makes a token without one: for whoever may run programs beside the database."""
    made = make_token(new_id())
    began = now()
    async with database.writing() as session:
        session.add(
            ApiToken(
                id=made.id,
                user_id=user,
                name=name,
                sha256=made.sha256,
                scopes=sorted(scopes),
                created_by="orchestrator-api",
                created_at=began,
                expires_at=None if days is None else began + timedelta(days=days),
            )
        )
    return made.text


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, or these words in its place. Exits when it cannot be meant."""
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
    return parser.parse_args(words)


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


def _configure_logs(command: str, level: str) -> None:
    if command == "create-token":
        # For a person: standard output is the token and nothing else.
        logs.configure("WARNING", "orchestrator", sys.stderr)
        return
    logs.configure(level, "orchestrator")
    if command == "serve":
        # It tells of each look at the schema's revision, and readiness looks every other second.
        logging.getLogger("alembic").setLevel(logging.WARNING)


def main() -> None:
    """Entry point of the console script."""
    arguments = parse_arguments()
    try:
        settings = load_settings(arguments.config)
        if arguments.command == "create-token":
            TypeAdapter(UserId).validate_python(arguments.user)
    except SettingsError as error:
        sys.exit(f"orchestrator-api: {error}")
    except ValidationError:
        sys.exit(f"orchestrator-api: {arguments.user!r} cannot be a user's id")
    _configure_logs(arguments.command, settings.log_level)
    # uvicorn raises the signal that stopped it once more: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if arguments.command == "serve":
        structlog.get_logger(__name__).info("starting", config=str(arguments.config))
    try:
        asyncio.run(_carry_out(arguments, settings))
    except kube.KubeConfigError as error:
        sys.exit(f"orchestrator-api: {error}, or serve people alone with --no-cluster")
    except StartError as error:
        sys.exit(f"orchestrator-api: {error}")
    except (SQLAlchemyError, OSError) as error:
        sys.exit(f"orchestrator-api: {database_refused(settings.orchestrator.database, error)}")


if __name__ == "__main__":
    main()
