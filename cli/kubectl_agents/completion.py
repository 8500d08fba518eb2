"""Shell completion: kubectl asks the program `kubectl_complete-agents` on PATH what could come next."""

from __future__ import annotations

import sys
from typing import Final

from click.shell_completion import ShellComplete

from kubectl_agents.app import cli
from kubectl_agents.options import Settings

# What kubectl's own completion understands: no file names, and none but these.
_NO_FILES: Final = ":4"
_FILES: Final = ":0"


def candidates(arguments: list[str]) -> list[str]:
    """Lines for kubectl: what could stand in place of the last argument, then a directive."""
    *before, incomplete = arguments or [""]
    asked = ShellComplete(cli, {"obj": Settings()}, "kubectl agents", "")
    found = asked.get_completions(before, incomplete)
    plain = [item for item in found if item.type == "plain"]
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in plain]
    return [*lines, _FILES if len(plain) < len(found) else _NO_FILES]


def main() -> None:
    """Entry point of the console script that kubectl calls."""
    for line in candidates(sys.argv[1:]):
        print(line)
