"""A node that stops reporting, with the workspace on it: as far as one node allows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentsession_testing.cluster import Product, condition, reply_of
from localcluster.processes import marked_processes
from localcluster.settings import NODE_NAME, load_settings

NewName = Callable[[str], str]
CLONE = Path(__file__).resolve().parents[2]


def kubelet() -> int:
    """Process id of the local cluster's kubelet; skips on any other cluster."""
    state = load_settings(os.environ, CLONE).paths.state
    if os.environ.get("CLUSTER", "local") != "local" or not state.is_dir():
        pytest.skip("only the local cluster's kubelet can be stopped from here")
    found = [
        process.pid
        for process in marked_processes(state)
        if b"kubelet" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    ]
    assert len(found) == 1
    return found[0]


@contextmanager
def silent_node(product: Product) -> Iterator[None]:
    """The kubelet stands still; afterwards node and product are well again."""
    pid = kubelet()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        product.kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=60s")
        for part in ("operator", "gateway"):
            product.kubectl(
                *("rollout", "status", f"deploy/{product.names.release}-{part}", "--timeout=90s"),
                namespace=product.names.namespace,
            )


def test_a_silent_node_is_named_and_its_run_never_doubled(
    product: Product, new_name: NewName
) -> None:
    name = new_name("silent")
    body = product.apply(product.manifest(name, prompt="hello"))
    product.answer(body)
    product.wait_phase(name, "Idle")
    with silent_node(product):
        lost = product.wait_reason(name, "Ready", "NodeLost", seconds=120)
        assert NODE_NAME in condition(lost, "Ready")["message"]
        product.wait_event(name, "NodeLost")
        assert product.jobs(name) == [f"{name}-r1"]
    # Not before: gateway and model server are on the same node.
    answered = product.answer(product.patch(name, prompt="hello again"), seconds=90)
    assert reply_of(answered)
    assert answered["status"]["runs"] == 1, "the pod had been running all the time"
    assert condition(product.wait_reason(name, "Ready", "RunnerConnected"), "Ready")["status"] == (
        "True"
    )
