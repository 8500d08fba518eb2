"""Where a load was run: nobody can read its figures without it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcluster.settings import KUBERNETES_VERSION, KWOK_VERSION
from workbench.bench.commit import commit_of


@dataclass(frozen=True)
class Machine:
    """One machine and the programs on it. Loads are the one minute's, memory is GiB."""

    at: str
    commit: str
    cores: int
    memory: float
    load_before: float
    load_after: float
    kernel: str
    kubernetes: str
    kwok: str
    redis: str
    python: str

    def after(self, load: float) -> Machine:
        """The same machine when everything has been measured."""
        return replace(self, load_after=load)

    def to_json(self) -> dict[str, Any]:
        """As the report writes it."""
        return asdict(self)

    def sentence(self) -> str:
        """For the head of a report."""
        return (
            f"{self.cores} cores, {self.memory:.0f} GiB, load {self.load_before:.1f} before and "
            f"{self.load_after:.1f} after, kernel {self.kernel}, Kubernetes {self.kubernetes}, "
            f"kwok {self.kwok}, {self.redis}, Python {self.python}, commit {self.commit}; "
            f"begun {self.at}"
        )


def describe_machine(clone: Path, redis: str) -> Machine:
    """The machine before the first figure. `redis` is name and version of the server."""
    load = os.getloadavg()[0]
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit_of(clone),
        cores=os.cpu_count() or 0,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        load_before=load,
        load_after=load,
        kernel=f"{platform.release()} ({platform.machine()})",
        kubernetes=KUBERNETES_VERSION,
        kwok=KWOK_VERSION,
        redis=redis,
        python=platform.python_version(),
    )
