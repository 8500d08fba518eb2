"""What an agent's pod reaches and what it does not, tried from inside of real runs.

Whatever must be refused really listens: each target is reached first from where it may be.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import watch

from agentsession_core.naming import LABEL_NETWORK
from agentsession_testing.cluster import Product
from agentsession_testing.network import (
    AT_ONCE,
    CONNECT,
    Listener,
    Pods,
    from_here,
    from_run,
    listening,
    require_local_host,
    result,
)
from localcluster.network import host_addresses, public_addresses
from localcluster.settings import Network, Ports

PRIVATE, METADATA, WORLD = "192.168.77.77", "169.254.169.254", "203.0.113.77"
NEIGHBOUR_PORT = 8099
NODE, PORTS = Network().node_address, Ports()


@pytest.fixture(scope="module")
def pods(product: Product) -> Pods:
    require_local_host(product)
    image = product.kubectl(
        *("get", "deployment", f"{product.names.release}-gateway"),
        *("-o", "jsonpath={.spec.template.spec.containers[0].image}"),
        namespace=product.names.namespace,
    )
    return Pods(product, image)


@pytest.fixture(scope="module")
def outside(product: Product, pods: Pods) -> Iterator[str]:
    """A namespace without any policy."""
    name = f"{product.names.sessions_namespace}-open-{uuid.uuid4().hex[:6]}"
    product.kubectl("create", "namespace", name)
    yield name
    product.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def private(pods: Pods) -> Iterator[Listener]:
    with listening(PRIVATE, 80) as listener:
        yield listener


@pytest.fixture(scope="module")
def metadata(pods: Pods) -> Iterator[Listener]:
    with listening(METADATA, 80) as listener:
        yield listener


@pytest.fixture(scope="module")
def world(pods: Pods) -> Iterator[Listener]:
    with listening(WORLD, 80) as listener:
        assert reached(from_here([listener.target])) == {listener.target}
        yield listener


@dataclass(frozen=True)
class Runs:
    """Two awake sessions: one without the world, one with it."""

    none: str
    internet: str


@pytest.fixture(scope="module")
def runs(product: Product, pods: Pods) -> Iterator[Runs]:
    suffix = uuid.uuid4().hex[:6]
    template = {
        "apiVersion": "agentsession.dev/v1alpha1",
        "kind": "AgentSessionTemplate",
        "metadata": {"name": f"no-world-{suffix}"},
        "spec": {"network": "None"},
    }
    product.kubectl("apply", "-f", "-", stdin=json.dumps(template))
    made = Runs(f"sealed-none-{suffix}", f"sealed-internet-{suffix}")
    none = product.manifest(made.none, prompt="hello", templateRef={"name": f"no-world-{suffix}"})
    for applied in [
        product.apply(none),
        product.apply(product.manifest(made.internet, prompt="hello")),
    ]:
        product.answer(applied)
    yield made
    product.kubectl("delete", "agentsession", made.none, made.internet, "--wait=false")
    product.kubectl("delete", "agentsessiontemplate", f"no-world-{suffix}")


def part_address(product: Product, part: str) -> str:
    (pod,) = product.core.list_namespaced_pod(
        product.names.namespace,
        label_selector=f"app.kubernetes.io/instance={product.names.release},"
        f"app.kubernetes.io/component={part}",
        field_selector="status.phase=Running",
    ).items
    return str(pod.status.pod_ip)


def wait_listening(target: str) -> None:
    """Connects from the host until it is reached; the deadline is the connection's own."""
    code = (
        "import socket, sys, time; host, _, port = sys.argv[1].rpartition(':'); end = time.time() + 20\n"
        "while True:\n"
        "    try: socket.create_connection((host, int(port)), 1).close(); break\n"
        "    except OSError:\n"
        "        assert time.time() < end, 'nothing listens on ' + sys.argv[1]\n"
        "        time.sleep(0.1)\n"
    )
    subprocess.run(["python3", "-c", code, target], check=True)


@pytest.fixture(scope="module")
def neighbours(product: Product, runs: Runs) -> Iterator[dict[str, str]]:
    """By session: a port on which its pod listens."""
    processes, targets = [], {}
    for session in (runs.none, runs.internet):
        (pod,) = product.pods(session)
        namespace = product.names.sessions_namespace
        serve = ["python3", "-m", "http.server", str(NEIGHBOUR_PORT), "--directory", "/tmp"]
        processes.append(
            subprocess.Popen(
                ["kubectl", "-n", namespace, "exec", pod.metadata.name, "--", *serve],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        targets[session] = f"{pod.status.pod_ip}:{NEIGHBOUR_PORT}"
        wait_listening(targets[session])
    yield targets
    for process in processes:
        process.terminate()
        process.wait()


def refused(found: dict[str, str]) -> set[str]:
    return {target for target, answer in found.items() if answer.startswith("refused")}


def reached(found: dict[str, str]) -> set[str]:
    return {target for target, answer in found.items() if answer == "open"}


@pytest.fixture(scope="module")
def forbidden(
    product: Product, pods: Pods, outside: str, private: Listener, metadata: Listener
) -> list[str]:
    """What no agent may reach; proven to listen."""
    names = product.names
    redis, operator, gateway, model, bridge, telegram, orchestrator = (
        part_address(product, part)
        for part in (
            *("redis", "operator", "gateway", "model-server", "bridge", "telegram-server"),
            "orchestrator",
        )
    )
    of_pods = [
        *(f"{redis}:6379", f"{operator}:8080", f"{operator}:9090"),
        *(f"{gateway}:9090", f"{model}:8080", f"{bridge}:8080", f"{telegram}:8081"),
        f"{orchestrator}:9090",
    ]
    # The node's own connections are no NetworkPolicy's business.
    seen = from_here(of_pods)
    assert reached(seen) == set(of_pods), seen
    of_host = [
        *(f"{NODE}:{PORTS.api_server}", f"{NODE}:{PORTS.kubelet}"),
        *(f"{address}:{PORTS.api_server}" for address in public_addresses(host_addresses())[:1]),
        *("kubernetes.default.svc:443", private.target, metadata.target),
    ]
    seen = pods.run("control", outside, ["python3", "-c", CONNECT, *of_host], {})
    assert reached(seen) == set(of_host), seen
    services = [f"{names.release}-redis.{names.namespace}.svc:6379"]
    services += [f"{names.release}-model-server.{names.namespace}.svc:8080"]
    services += [f"{names.release}-telegram-server.{names.namespace}.svc:8081"]
    return [*of_pods, *of_host, *services]


def allowed(product: Product) -> list[str]:
    names = product.names
    return [
        f"{names.release}-gateway.{names.namespace}.svc:8080",
        f"{part_address(product, 'gateway')}:8080",
        f"{names.release}-orchestrator.{names.namespace}.svc:8080",
        f"{part_address(product, 'orchestrator')}:8080",
    ]


def test_an_agent_without_the_world_reaches_names_gateway_and_orchestrator_and_nothing_else(
    product: Product,
    runs: Runs,
    neighbours: dict[str, str],
    forbidden: list[str],
    world: Listener,
) -> None:
    shut = [*forbidden, neighbours[runs.internet], world.target]
    before = world.accepted
    seen = from_run(product, runs.none, [*allowed(product), *shut])
    assert refused(seen) == set(shut), seen
    assert reached(seen) == set(allowed(product)), seen
    assert world.accepted == before


def test_an_agent_with_the_world_reaches_that_besides(
    product: Product,
    runs: Runs,
    neighbours: dict[str, str],
    forbidden: list[str],
    world: Listener,
) -> None:
    shut = [*forbidden, neighbours[runs.none]]
    free = [*allowed(product), world.target]
    before = world.accepted
    seen = from_run(product, runs.internet, [*free, *shut])
    assert refused(seen) == set(shut), seen
    assert reached(seen) == set(free), seen
    assert world.accepted == before + 1


def test_nothing_reaches_a_run_or_the_parts_from_another_namespace(
    product: Product, pods: Pods, outside: str, neighbours: dict[str, str]
) -> None:
    parts = [
        f"{part_address(product, part)}:{port}"
        for part, port in (
            *(("redis", 6379), ("operator", 8080), ("operator", 9090)),
            *(("gateway", 8080), ("gateway", 9090), ("model-server", 8080)),
            *(("bridge", 8080), ("telegram-server", 8081)),
            *(("orchestrator", 8080), ("orchestrator", 9090)),
        )
    ]
    targets = [*neighbours.values(), *parts]
    assert reached(from_here(targets)) == set(targets)
    seen = pods.run("visitor", outside, ["python3", "-c", CONNECT, *targets], {})
    assert refused(seen) == set(targets), seen


@pytest.mark.parametrize(("part", "telegrams"), [("bridge", True), ("orchestrator", False)])
def test_a_part_reaches_what_it_works_with_and_nothing_else(
    product: Product, pods: Pods, private: Listener, world: Listener, part: str, telegrams: bool
) -> None:
    names = product.names
    telegram = f"{part_address(product, 'telegram-server')}:8081"
    free = [
        f"{names.release}-redis.{names.namespace}.svc:6379",
        "kubernetes.default.svc:443",
        *([telegram] if telegrams else []),
    ]
    shut = [
        *([] if telegrams else [telegram]),
        *(f"{part_address(product, part)}:8080" for part in ("operator", "model-server")),
        *(f"{part_address(product, 'gateway')}:9090", f"{NODE}:{PORTS.kubelet}"),
        *(private.target, world.target),
    ]
    listening_from_here = [target for target in shut if target != private.target]
    assert reached(from_here(listening_from_here)) == set(listening_from_here)
    told = product.kubectl(
        *("exec", f"deployment/{names.release}-{part}", "--", "python3", "-c", CONNECT),
        *(*free, *shut),
        namespace=names.namespace,
    )
    seen = result(told)
    assert reached(seen) == set(free), seen
    assert refused(seen) == set(shut), seen


@pytest.mark.parametrize("part", ["operator", "gateway", "bridge", "orchestrator"])
def test_nothing_of_the_stand_ins_is_in_a_service_s_image(product: Product, part: str) -> None:
    look = "import importlib.util; print(importlib.util.find_spec('agentsession_dev'))"
    names = product.names
    told = product.kubectl(
        *("exec", f"deployment/{names.release}-{part}", "--", "python3", "-c", look),
        namespace=names.namespace,
    )
    assert told.strip() == "None"


@pytest.mark.parametrize("network", ["None", "Internet"])
def test_a_pod_is_sealed_from_its_first_packet_and_may_greet_the_gateway_with_it(
    product: Product, pods: Pods, outside: str, private: Listener, network: str
) -> None:
    gateway = product.kubectl(
        *("get", "service", f"{product.names.release}-gateway"),
        *("-o", "jsonpath={.spec.clusterIP}"),
        namespace=product.names.namespace,
    )
    redis = f"{part_address(product, 'redis')}:6379"
    targets = [private.target, redis, f"{gateway}:8080"]
    program = ["python3", "-c", AT_ONCE, *targets]
    labels = {LABEL_NETWORK: network}
    control = pods.run(f"first-control-{network.lower()}", outside, program, labels)
    assert control[private.target]["first"] == "open", control
    before = private.accepted
    seen = pods.run(f"first-{network.lower()}", product.names.sessions_namespace, program, labels)
    for target in (private.target, redis):
        assert seen[target]["open"] == 0, seen
        assert seen[target]["tries"] >= 5, seen
    assert private.accepted == before
    assert seen[f"{gateway}:8080"]["first"] == "open", seen


def test_a_policy_that_the_local_cluster_cannot_enforce_cuts_its_pods_off_and_says_so(
    product: Product, pods: Pods, outside: str, private: Listener
) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "named-port", "namespace": outside},
        "spec": {
            "podSelector": {"matchLabels": {"app": "odd"}},
            "policyTypes": ["Egress"],
            "egress": [{}, {"ports": [{"port": "http"}]}],
        },
    }
    product.kubectl("apply", "-f", "-", stdin=json.dumps(policy), namespace=outside)
    event = wait_refusal(product, outside)
    assert event.type == "Warning"
    assert "egress[1].ports[0]: port by name (http)" in event.message
    program = ["python3", "-c", CONNECT, private.target]
    assert refused(pods.run("odd", outside, program, {"app": "odd"})) == {private.target}
    assert reached(pods.run("even", outside, program, {"app": "even"})) == {private.target}


def wait_refusal(product: Product, namespace: str) -> Any:
    stream = watch.Watch().stream(
        product.core.list_namespaced_event,
        namespace,
        field_selector="involvedObject.kind=NetworkPolicy,reason=NetworkPolicyRefused",
        timeout_seconds=20,
    )
    for event in stream:
        return event["object"]
    raise AssertionError("no Event NetworkPolicyRefused within 20 s")
