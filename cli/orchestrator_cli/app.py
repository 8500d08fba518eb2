"""The command line: commands, and what becomes of errors. A command's module is loaded when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from orchestrator_cli.errors import MEANINGS, CommandError, Exit
from orchestrator_cli.options import Settings, json_option
from orchestrator_cli.output import say_error

# name → (module, what it says in the list of commands)
COMMANDS = {
    "project": ("projects:project", "Projects: what deployments and tasks belong to."),
    "secret": ("secrets:secret", "Your projects' secrets: they go in and do not come out."),
    "deploy": ("deploying:deploy", "Deployments of your projects."),
    "infra": ("infra:infra", "Servers, and the ports that your projects have."),
    "engineering": ("engineering:engineering", "Work on your projects' code."),
    "task": ("tasks:task", "Tasks: what workers do for your projects."),
    "diagnose": ("diagnose:diagnose", "See how the platform is and what has gone wrong."),
    "respond": ("session:respond", "Say something to your person before your turn ends."),
    "finish": ("session:finish", "Keep a summary of what was done."),
    "search": ("diagnose:search", "Search articles for all the words."),
    "escalate": ("diagnose:escalate", "Open an incident for a person to look at, and tell them."),
    "admin": ("graphs:admin", "The workers' graphs. For administrators."),
    "graph": ("graphs:graph", "The same as admin."),
    "approvals": ("approvals:approvals", "What agents ask you."),
    "token": ("tokens:token", "API tokens, for people and automation."),
    "config": ("configuring:config", "Where the API is and who calls."),
    "doctor": ("doctor:doctor", "See whether this command can work here."),
    "version": ("doctor:version", "Show this command's release."),
}
EPILOG = """\b
Examples:
  orchestrator project list
  orchestrator project create todo-app --json
  orchestrator approvals list --pending

\b
Exit codes:
""" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANINGS.items())


class LazyGroup(click.Group):
    """Loads a command's module when the command is used: the start is most of what a call takes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of their table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(import_module(f"orchestrator_cli.{module}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant. Raises NoSuchCommand, with what is written alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        # Loaded when it is asked for: reading a package's metadata takes its time.
        from importlib.metadata import version

        click.echo(version("agentsession"))
        context.exit()


@click.group(
    cls=LazyGroup,
    name="orchestrator",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@json_option
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show this command's release.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Projects, deployments, servers and tasks, for people and their agents."""
    context.ensure_object(Settings)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], settings: Settings | None = None) -> int:
    """Carries out a command line; answers the exit code."""
    settings = settings or Settings()
    try:
        answer: Any = cli.main(
            arguments, prog_name="orchestrator", standalone_mode=False, obj=settings
        )
    except click.Abort:
        stopped = CommandError(Exit.INTERRUPTED, "interrupted", "ended before it was done")
        say_error(stopped, as_json=settings.as_json)
        return Exit.INTERRUPTED
    except click.ClickException as error:
        # What is wrong may stand before the option, which then was not read.
        if not (settings.as_json or "--json" in arguments):
            error.show()
            return Exit.USAGE
        usage = CommandError(Exit.USAGE, "usage", error.format_message(), hint="see --help")
        say_error(usage, as_json=True)
        return Exit.USAGE
    except CommandError as error:
        say_error(error, as_json=settings.as_json)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has enough.
        sys.stderr.close()
        return Exit.OK
    finally:
        settings.close()
    return answer if isinstance(answer, int) else Exit.OK
