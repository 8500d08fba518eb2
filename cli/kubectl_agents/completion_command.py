"""`kubectl agents completion`: what a shell has to read once."""

from __future__ import annotations

import shutil
from typing import Final

import click

from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.options import Settings, common, with_settings

COMPLETER: Final = "kubectl_complete-agents"


@click.command()
@common
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@with_settings
def completion(settings: Settings, shell: str) -> None:
    """Print kubectl's completion for a shell, which completes `kubectl agents` and session names too.

    \b
    Example:
      source <(kubectl agents completion bash)
    """
    if shutil.which(COMPLETER) is None:
        raise PluginError(
            Exit.FAILED,
            f"{COMPLETER} is not on PATH, where kubectl looks for it",
            "it is installed beside kubectl-agents: add that folder to PATH",
        )
    click.echo(settings.kubectl.run("completion", shell), nl=False)
