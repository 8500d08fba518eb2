"""Reaching a Service of the cluster from here."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.clusters import Cluster
from workbench.console import WorkbenchError


@contextmanager
def port_forward(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[str]:
    """URL under which the port of `target` (e.g. svc/NAME) is reached. Raises WorkbenchError."""
    command = [cluster.tool("kubectl"), "-n", namespace, "port-forward", target, f":{port}"]
    environment = {**os.environ, **cluster.environment()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not match:
                raise WorkbenchError(
                    f"kubectl port-forward {target} ended", "is the release installed?"
                )
            yield f"http://127.0.0.1:{match.group(1)}"
        finally:
            process.terminate()
