"""Entry point: ``python -m agentsession_dev.model_server --port 8080 --rules FILE.json``."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from agentsession_dev.model_server.rules import InvalidRulesError, load_rules
from agentsession_dev.model_server.server import build_server, demo_rules


def read_keys(api_key: str | None, api_key_file: Path | None) -> frozenset[str]:
    """Return the keys of the environment and of a file with one key per line.

    Raises:
        click.ClickException: when the file cannot be read.
    """
    lines = [api_key or ""]
    if api_key_file is not None:
        try:
            lines += api_key_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise click.ClickException(f"--api-key-file {api_key_file}: {error.strerror}") from None
    return frozenset(filter(None, (line.strip() for line in lines)))


@click.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path),
    help="Rules file (JSON); without it the demo's rules that come with the package.",
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    help="File with the accepted API keys, one per line; MODEL_SERVER_API_KEY adds one.",
)
@click.option("--any-key", is_flag=True, help="Accept every API key that is not empty.")
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
    rules_file: Path | None,
    api_key_file: Path | None,
    any_key: bool,
    log_level: str,
) -> None:
    """Serve the Anthropic Messages API with answers from a rules file."""
    # No command-line option: what stands there can be read by everyone on the machine.
    keys = read_keys(os.environ.get("MODEL_SERVER_API_KEY"), api_key_file)
    if not keys and not any_key:
        raise click.UsageError(
            "no API key is configured: set MODEL_SERVER_API_KEY or --api-key-file, "
            "or accept every key with --any-key"
        )
    try:
        rules = load_rules(rules_file) if rules_file is not None else demo_rules()
    except InvalidRulesError as error:
        raise click.ClickException(str(error)) from None
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    server = build_server(
        rules=rules, api_keys=keys, any_key=any_key, host=host, port=port, log_level=log_level
    )
    server.run()
    if not server.started:
        context.exit(1)


if __name__ == "__main__":
    main()
