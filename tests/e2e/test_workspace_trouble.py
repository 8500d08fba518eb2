"""What an agent can do to its own workspace and pod, and a gateway that goes away, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentsession_testing.cluster import (
    Body,
    ModelServer,
    Product,
    condition,
    phase_of,
    reply_of,
)

NewName = Callable[[str], str]
WAIT_FOR_GO = "run: touch started; until test -e go; do sleep 0.1; done; echo went-on"
FILL = "run: head -c 100M /dev/zero > /workspace/big 2>/dev/null; echo filled"
EMPTY = "run: rm /workspace/big; echo emptied"


@contextmanager
def small_volume(product: Product, name: str, megabytes: int) -> Iterator[None]:
    """A StorageClass `name` with one volume, which is a small disk of this machine.

    The local cluster's own volumes are directories without a limit.
    """
    directory = tempfile.mkdtemp(prefix="agentsession-small-")
    options = f"size={megabytes}m,mode=777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], check=True)
    node = product.core.list_node().items[0].metadata.name
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": f"{megabytes}Mi"},
            "storageClassName": name,
            "local": {"path": directory},
            "persistentVolumeReclaimPolicy": "Retain",
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
            },
        },
    }
    kind = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    }
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [volume, kind]})
    try:
        product.kubectl("apply", "-f", "-", stdin=both)
        yield
    finally:
        product.kubectl("delete", "agentsession", name, "--ignore-not-found", "--timeout=60s")
        product.kubectl("delete", "pv,storageclass", name, "--ignore-not-found", "--timeout=60s")
        subprocess.run(["umount", directory], check=True)
        Path(directory).rmdir()


def small_workspace(storage_class: str, megabytes: int) -> dict[str, Any]:
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": f"{megabytes}Mi"}},
    }
    return {"volumeClaimTemplate": {"spec": claim}}


def pod_of(product: Product, name: str) -> str:
    """The session's newest pod, once kubelet says that it runs: the runner may be faster."""
    newest = max(product.pods(name), key=lambda pod: pod.metadata.creation_timestamp)
    pod = str(newest.metadata.name)
    product.kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{pod}", "--timeout=30s")
    return pod


def in_pod(product: Product, name: str, script: str) -> str:
    return product.kubectl("exec", pod_of(product, name), "--", "bash", "-c", script)


def wait_in_pod(product: Product, name: str, path: str) -> None:
    in_pod(product, name, f"timeout 60 bash -c 'until test -e {path}; do sleep 0.1; done'")


def wait_for_log(product: Product, name: str, words: str) -> None:
    """Waits until the runner has said something."""
    deadline = time.monotonic() + 30
    while words not in (said := product.kubectl("logs", pod_of(product, name))):
        assert time.monotonic() < deadline, f"{words!r} not in the log:\n{said}"
        time.sleep(0.2)


def outcome_of(body: Body) -> str:
    return str(body["status"]["lastTurn"]["outcome"])


def suspend_and_resume(product: Product, name: str, prompt: str) -> Body:
    """The answer to a prompt that a new run gives."""
    product.patch(name, operatingMode="Suspended")
    product.wait(name, "a suspended session", lambda seen: phase_of(seen) == "Suspended")
    return product.answer(product.patch(name, operatingMode="Running", prompt=prompt))


@pytest.mark.skipif(
    os.geteuid() != 0 or os.environ.get("CLUSTER", "local") != "local",
    reason="a small disk is mounted on this machine, which must be the cluster's node",
)
def test_a_full_workspace_is_named_and_the_agent_can_empty_it(
    product: Product, new_name: NewName
) -> None:
    name = new_name("full")
    with small_volume(product, name, 16):
        workspace = small_workspace(name, 16)
        full = product.answer(
            product.apply(product.manifest(name, prompt=FILL, workspace=workspace))
        )
        assert outcome_of(full) == "Failed"
        assert "filled" in reply_of(full)
        assert condition(full, "Degraded")["reason"] == "WorkspaceFull"
        assert "delete files" in condition(full, "Degraded")["message"]
        product.wait_event(name, "WorkspaceFull")
        still = suspend_and_resume(product, name, "still there?")
        assert outcome_of(still) == "Succeeded", "the reserve is room for talking about it"
        emptied = suspend_and_resume(product, name, EMPTY)
        assert outcome_of(emptied) == "Succeeded"
        assert "emptied" in reply_of(emptied)
        assert condition(emptied, "Degraded")["status"] == "False"


def test_a_lost_conversation_is_said_to_be_lost(product: Product, new_name: NewName) -> None:
    name = new_name("lost")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    in_pod(product, name, "rm -rf .agentsession/claude-code/projects")
    resumed = suspend_and_resume(product, name, "hello again")
    assert outcome_of(resumed) == "Succeeded"
    assert reply_of(resumed).startswith("The saved conversation was not found")


@pytest.mark.parametrize("tool_ends", ["while it is away", "when it is back"])
def test_a_gateway_lost_in_a_turn_costs_nothing(
    product: Product, new_name: NewName, tool_ends: str
) -> None:
    name = new_name("gateway")
    gateway = f"deploy/{product.names.release}-gateway"
    system = product.names.namespace
    body = product.apply(product.manifest(name, prompt=f"{WAIT_FOR_GO} {name}"))
    product.wait_phase(name, "Working")
    wait_in_pod(product, name, "/workspace/started")
    product.kubectl("scale", gateway, "--replicas=0", namespace=system)
    try:
        selector = f"app.kubernetes.io/component=gateway,app.kubernetes.io/instance={product.names.release}"
        product.kubectl(
            "wait", "--for=delete", "pod", "-l", selector, "--timeout=60s", namespace=system
        )
        if tool_ends == "while it is away":
            in_pod(product, name, "touch go")
            wait_for_log(product, name, "the gateway went away in the turn")
    finally:
        product.kubectl("scale", gateway, "--replicas=1", namespace=system)
        product.kubectl("rollout", "status", gateway, "--timeout=90s", namespace=system)
    if tool_ends == "when it is back":
        in_pod(product, name, "touch go")
    answered = product.answer(body, seconds=120)
    assert outcome_of(answered) == "Succeeded"
    wanted = f"went-on {name}" if tool_ends == "when it is back" else "Go on where you stopped"
    assert wanted in reply_of(answered)
    assert answered["status"]["runs"] == 1
    assert answered["status"]["usage"]["turns"] == 1


def test_an_agent_that_kills_its_runner_is_told_in_the_next_attempt(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("suicide")
    command = f"test -e once || {{ touch once; kill 1; sleep 60; }}; echo survived {name}"
    body = product.apply(product.manifest(name, prompt=f"run: {command}"))
    answered = product.answer(body, seconds=120)
    assert outcome_of(answered) == "Succeeded"
    assert f"survived {name}" in reply_of(answered)
    assert answered["status"]["runs"] == 2
    told = [request["user_texts"][-1] for request in model_server.requests(name)]
    assert any("the run was cut off before you finished" in text for text in told)


def test_an_agent_that_kills_its_cli_fails_its_turn_only(
    product: Product, new_name: NewName
) -> None:
    name = new_name("cli")
    failed = product.answer(product.apply(product.manifest(name, prompt="run: kill -9 $PPID")))
    assert outcome_of(failed) == "Failed"
    assert condition(failed, "Degraded")["reason"] == "TurnFailed"
    assert "exit code -9" in condition(failed, "Degraded")["message"]
    after = product.answer(product.patch(name, prompt="hello"))
    assert outcome_of(after) == "Succeeded"
    assert after["status"]["runs"] == 1


def test_what_an_agent_leaves_running_does_not_keep_its_pod(
    product: Product, new_name: NewName
) -> None:
    name = new_name("leftover")
    leave = "run: for n in 1 2 3; do (trap '' TERM; setsid sleep 600 &) ; done; echo left"
    manifest = product.manifest(name, prompt=leave, idlePolicy={"suspendAfterSeconds": 0})
    product.answer(product.apply(manifest))
    product.wait_phase(name, "Suspended")
    (pod,) = product.pods(name)
    assert pod.status.container_statuses[0].state.terminated.exit_code == 0


def test_a_full_tmp_ends_the_run_and_the_turn_is_taken_up(
    product: Product, new_name: NewName
) -> None:
    name = new_name("tmp")
    fill = "touch once; head -c 1100M /dev/zero > /tmp/big; sleep 120"
    prompt = f"run: test -e once || {{ {fill}; }}; echo tmp has $(ls /tmp | grep -c big)"
    body = product.apply(product.manifest(name, prompt=prompt))
    answered = product.answer(body, seconds=180)
    assert outcome_of(answered) == "Succeeded"
    assert "tmp has 0" in reply_of(answered)
    assert answered["status"]["runs"] == 2
