"""The shells' completion, by the lines that the documentation gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "orchestrator.md"
ORCHESTRATOR = Path(sys.executable).with_name("orchestrator")
CASES = [
    ("orchestrator pr", 1, {"project"}),
    ("orchestrator deploy tr", 2, {"trigger"}),
    ("orchestrator deploy trigger todo-app --w", 4, {"--wait"}),
    ("orchestrator task list --kind an", 4, {"analysis"}),
]


def asked(instruction: str, **more: str) -> str:
    environment = {
        "PATH": f"{ORCHESTRATOR.parent}{os.pathsep}{os.environ['PATH']}",
        "_ORCHESTRATOR_COMPLETE": instruction,
        **more,
    }
    done = subprocess.run(
        [ORCHESTRATOR], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def documented() -> set[str]:
    return set(re.findall(r"_ORCHESTRATOR_COMPLETE=(\w+) orchestrator", PAGE.read_text()))


def test_the_documented_lines() -> None:
    assert documented() == {"bash_source", "zsh_source", "fish_source"}
    for instruction in documented():
        assert instruction.replace("_source", "_complete") in asked(instruction)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("line", "number", "expected"), CASES)
def test_what_could_come_next(shell: str, line: str, number: int, expected: set[str]) -> None:
    # fish gives the word itself, the others its number.
    place = line.split()[-1] if shell == "fish" else str(number)
    said = asked(f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=place)
    assert expected <= set(re.split(r"[,\n\t]", said))
