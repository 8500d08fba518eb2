"""What happens before hello: no heavy import, and a clear line for every mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentsession_runner import __main__ as entry

ROOT = Path(entry.__file__).parents[1]
HEAVY = ("asyncio", "dataclasses", "typing", "http.client", "email", "ssl", "subprocess", "logging")


def test_nothing_heavy_is_imported_before_hello() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import agentsession_runner.__main__;"
        "print(*[name for name in sys.argv[2:] if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(ROOT), *HEAVY],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "AGENTSESSION_GATEWAY_URL is not set"),
        ({"AGENTSESSION_GATEWAY_URL": "ftp://x", "AGENT_TYPE": "claude-code"}, "ftp://x"),
        (
            {
                "AGENTSESSION_GATEWAY_URL": "http://127.0.0.1:9",
                "AGENT_TYPE": "claude-code",
                "AGENTSESSION_TOKEN_FILE": "/nowhere/token",
            },
            "/nowhere/token cannot be read",
        ),
    ],
)
def test_a_wrong_environment_is_one_line(environment: dict[str, str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agentsession_runner"],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
