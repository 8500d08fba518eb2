"""Running pytest, twice at once: the tests in pods mostly wait, and so do those with their own servers.

The latter take longer: those of the runner are given to the process of the tests in pods, after them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from workbench.console import Reporter, WorkbenchError

PODS: Final = "tests/e2e"
SERVERS: Final = "tests/integration"
RUNNERS: Final = ("test_runner_*.py", "test_*_with_claude.py")
PASSED: Final = 0
NOTHING_CHOSEN: Final = 5


def run_suites(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, reporter: Reporter
) -> None:
    """Runs the tests that the arguments choose; without a path among them, everything.

    `log` is where the output of the second process waits until the first has ended. Raises
    WorkbenchError when a test failed, or none was run.
    """
    if any(argument.startswith("tests/") for argument in arguments):
        _judge({"tests": _pytest(arguments, environment)})
        return
    reporter.note(f"{SERVERS} run beside {PODS}; their output follows (now in {log})")
    runners = sorted({str(file) for name in RUNNERS for file in Path(SERVERS).glob(name)})
    others = [f"--ignore={file}" for file in runners]
    with log.open("wb") as output:
        beside = subprocess.Popen(
            _command([SERVERS, *others, *arguments]),
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            in_pods = _pytest([PODS, *runners, *arguments], environment)
            with_servers = beside.wait()
        finally:
            beside.kill()
    with log.open("rb") as output:
        shutil.copyfileobj(output, sys.stdout.buffer)
    sys.stdout.flush()
    _judge({PODS: in_pods, SERVERS: with_servers})


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    done = subprocess.run(_command(arguments), env={**os.environ, **environment}, check=False)
    return done.returncode


def _judge(codes: Mapping[str, int]) -> None:
    """A choice such as `-k resume` may leave one folder without a test, not both."""
    failed = [name for name, code in codes.items() if code not in (PASSED, NOTHING_CHOSEN)]
    if failed:
        raise WorkbenchError(f"tests failed in {', '.join(failed)}", "their output is above")
    if PASSED not in codes.values():
        raise WorkbenchError("no test was run", "the arguments choose none")
