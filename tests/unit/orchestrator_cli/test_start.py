"""The command starts fast: most of a short call would be loading what it does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each of them takes longer to load than the command may take to start.
HEAVY = ("httpx", "pydantic", "rich", "ssl", "asyncio", "importlib.metadata", "sqlalchemy")
PROGRAM = """
import sys
from orchestrator_cli.app import run
code = run(sys.argv[1:])
print(*sorted(set(sys.modules) & set(%r.split())), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        (["--version"], "importlib.metadata"),
        (["--help"], ""),
        (["project", "list", "--help"], ""),
        (["admin", "trigger-node", "--help"], ""),
        (["config", "set", "user", "ada"], ""),
    ],
)
def test_nothing_is_loaded_that_is_not_used(
    line: list[str], loaded: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % " ".join(HEAVY), *line],
        capture_output=True,
        text=True,
        check=True,
        env={"ORCHESTRATOR_CONFIG": str(folder / "config.json"), "PATH": ""},
    )
    assert done.stderr.strip() == loaded


def test_what_httpx_would_load_besides() -> None:
    program = "import sys, orchestrator_cli.api, httpx; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
