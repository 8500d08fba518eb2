"""Entry point: `python -m agentsession_dev.telegram_server --port 8081`."""

from __future__ import annotations

import os
import time

import click

from agentsession_dev.telegram_server.server import build_server
from agentsession_dev.telegram_server.service import Settings

TOKEN_VARIABLE = "TELEGRAM_TOKEN"  # noqa: S105 -- a variable's name


def _person(value: str) -> tuple[int, str]:
    number, _, name = value.partition(":")
    if not number.isdigit() or int(number) == 0 or not name:
        raise click.BadParameter(f"{value!r} is not like 42:Ada, with Telegram's numeric id")
    return int(number), name


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", default=8081, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--flood-limits/--no-flood-limits",
    default=True,
    show_default=True,
    help="Answer 429 to a chat that is written to too often.",
)
@click.option(
    "--person",
    "people",
    multiple=True,
    metavar="ID:NAME",
    callback=lambda _context, _option, values: tuple(_person(value) for value in values),
    help="Somebody who is there from the start, for the page to offer; may be repeated.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
)
@click.pass_context
def main(
    context: click.Context,
    host: str,
    port: int,
    flood_limits: bool,
    people: tuple[tuple[int, str], ...],
    log_level: str,
) -> None:
    """Serve a stand-in for the Telegram Bot API, and a page to chat with the bot.

    The bot's token comes from the environment variable TELEGRAM_TOKEN.

    \b
    Example:
      TELEGRAM_TOKEN=1:demo python -m agentsession_dev.telegram_server
      then open http://localhost:8081/
    """
    # No command-line option: what stands there can be read by everyone on the machine.
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise click.UsageError(f"set {TOKEN_VARIABLE} to the token that the bot will use")
    # All it knows goes with its process. An id that came a second time would be taken for a repetition:
    # by the bot, which has written it down, and by a page that goes on after the last one it saw.
    now = time.time()
    settings = Settings(
        token=token,
        flood_limits=flood_limits,
        first_update_id=int(now),
        first_message_id=int(now),
        first_sequence=int(now * 1000),
        people=people,
    )
    server = build_server(settings, host=host, port=port, log_level=log_level)
    server.run()
    if not server.started:
        context.exit(1)


if __name__ == "__main__":
    main()
