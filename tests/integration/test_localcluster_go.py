"""The local cluster's Go code has tests of its own; they run where its programs are built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from localcluster.build import go_environment, present_go
from localcluster.settings import load_settings

ROOT = Path(__file__).parents[2]


def test_go_tests() -> None:
    paths = load_settings(os.environ, ROOT).paths
    go = present_go(paths)
    if go is None:
        pytest.skip("no Go here: only the local cluster, which builds its programs, brings one")
    # -trimpath as in the build, whose compiled packages are then used.
    done = subprocess.run(
        [str(go), "test", "-trimpath", "./internal/...", "./cmd/netpol-cni"],
        cwd=paths.go_source,
        env=go_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "internal/netpol" in done.stdout
