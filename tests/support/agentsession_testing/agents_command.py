"""`kubectl agents` as people call it, against the installed product."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from agentsession_testing.cluster import Product
from kubectl_agents.errors import Exit

# Where kubectl finds the program kubectl-agents.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def agents(
    product: Product, *arguments: str, stdin: bytes = b"", code: Exit = Exit.OK
) -> subprocess.CompletedProcess[bytes]:
    """Runs it in the sessions' namespace; it has to end with `code`."""
    command = ["kubectl", "agents", *arguments, "-n", product.names.sessions_namespace]
    done = subprocess.run(command, input=stdin, capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done
