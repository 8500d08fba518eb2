"""The runner's entry point and the order of its start.

Hello goes out before anything heavy is imported; the rest is imported while the gateway thinks.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time

from agentsession_runner.config import ConfigError, read_config
from agentsession_runner.hello import Effects, GatewayUnreachableError, HelloRefusedError, say_hello


def main() -> int:
    """Run until the run is drained; returns the process's exit code."""
    # Process 1 has no default action for signals: without this a pod's end takes its whole grace.
    signal.signal(signal.SIGTERM, _end)
    try:
        config = read_config(os.environ)
        effects = Effects(time.monotonic, time.sleep, _jitter, _uptime)
        welcome = say_hello(config, effects, _import_the_rest, _report)
    except ConfigError as error:
        _report(str(error))
        return 2
    except GatewayUnreachableError as error:
        _report(str(error))
        return 1
    except HelloRefusedError as error:
        _report(str(error))
        return 3
    from agentsession_runner import app

    return app.serve(config, welcome, _report)


def _jitter() -> float:
    import random

    return random.random()  # noqa: S311 - spreads retries


def _uptime() -> float | None:
    """How long ago this process, and with it the container, began; None where /proc does not say."""
    try:
        # pathlib would be one more import on the way of every start.
        with open("/proc/self/stat", encoding="utf-8") as stat:  # noqa: PTH123
            # The 22nd field; the second is the program's name and may hold anything.
            began = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def _import_the_rest() -> None:
    importlib.import_module("agentsession_runner.app")


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)


def _report(text: str) -> None:
    print(f"agentsession-runner: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
