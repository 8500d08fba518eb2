"""The command line: commands, options, and what becomes of errors."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import click

from kubectl_agents import commands, letting_in, talking
from kubectl_agents.completion_command import completion
from kubectl_agents.errors import MEANINGS, Exit, PluginError
from kubectl_agents.export import export
from kubectl_agents.options import Settings, common

EPILOG = """\b
Examples:
  kubectl agents list -n agents
  kubectl agents chat hello -n agents
  echo "What is in this folder?" | kubectl agents chat hello -n agents
  kubectl agents why hello -n agents

\b
Exit codes:
""" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())


@click.group(
    name="kubectl agents",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@common
@click.pass_context
def cli(context: click.Context) -> None:
    """Talk to AgentSessions, and see why they do what they do."""
    context.ensure_object(Settings)


for command in (*commands.ALL, *talking.ALL, *letting_in.ALL, export, completion):
    cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)
    sys.exit(run(sys.argv[1:]))


def _leave(number: int, _: object) -> None:
    """A terminal that is closed, or kill: kubectl's port-forward would stay for ever without its parent."""
    raise SystemExit(128 + number)


def run(arguments: list[str]) -> int:
    """Carries out a command line; answers the exit code."""
    settings = Settings()
    try:
        answer: Any = cli.main(
            arguments, prog_name="kubectl agents", standalone_mode=False, obj=settings
        )
    except click.Abort:
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except PluginError as error:
        say_error(error, as_json=settings.as_json)
        return error.code
    except BrokenPipeError:
        # Whoever read our output has enough.
        sys.stderr.close()
        return Exit.OK
    return answer if isinstance(answer, int) else Exit.OK


def say_error(error: PluginError, *, as_json: bool) -> None:
    """The cause and the next step, on standard error."""
    if as_json:
        body = {"error": {"code": int(error.code), "cause": error.cause, "next": error.next_step}}
        click.echo(json.dumps(body), err=True)
        return
    click.echo(f"✘ {error.cause}", err=True)
    if error.next_step:
        click.echo(f"  → {error.next_step}", err=True)
