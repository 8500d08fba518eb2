"""The chart's NetworkPolicies: who reaches whom, read off the rendered objects."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from agentsession_core.naming import LABEL_NETWORK
from agentsession_operator import network_check
from agentsession_testing.chart import KEY, Helm, Object

SYSTEM, AGENTS = "agentsession-system", "agents"
DEVELOPMENT: Object = {"modelServer": {"enabled": True}}


def policies(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {
        (
            item["metadata"]["namespace"],
            item["metadata"]["name"].removeprefix("agentsession-"),
        ): item["spec"]
        for item in objects
        if item["kind"] == "NetworkPolicy"
    }


def part(name: str) -> Object:
    return {
        "matchLabels": {
            "app.kubernetes.io/name": "agentsession",
            "app.kubernetes.io/instance": "agentsession",
            "app.kubernetes.io/component": name,
        }
    }


def namespace(name: str) -> Object:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


def tcp(port: int) -> list[Object]:
    return [{"protocol": "TCP", "port": port}]


def test_without_policies_there_are_none(helm: Helm) -> None:
    assert policies(helm.objects(KEY, {"networkPolicy": {"enabled": False}})) == {}


def test_every_pod_of_a_session_namespace_reaches_names_gateway_and_orchestrator(
    helm: Helm,
) -> None:
    found = policies(helm.objects(KEY, {"sessions": {"namespaces": ["one", "two"]}}))
    for name in ("one", "two"):
        assert found[name, "sealed"] == {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [
                {
                    "to": [
                        {
                            "namespaceSelector": namespace("kube-system"),
                            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                        }
                    ],
                    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
                },
                {
                    "to": [
                        {"namespaceSelector": namespace(SYSTEM), "podSelector": part("gateway")}
                    ],
                    "ports": tcp(8080),
                },
                {
                    "to": [
                        {
                            "namespaceSelector": namespace(SYSTEM),
                            "podSelector": part("orchestrator"),
                        }
                    ],
                    "ports": tcp(8080),
                },
            ],
        }


def test_dns_is_where_the_values_say(helm: Helm) -> None:
    node = [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
    sealed = policies(helm.objects(KEY, {"networkPolicy": {"dns": node}}))[AGENTS, "sealed"]
    assert sealed["egress"][0]["to"] == node
    none = policies(helm.objects(KEY, {"networkPolicy": {"dns": []}}))[AGENTS, "sealed"]
    assert [rule["ports"] for rule in none["egress"]] == [tcp(8080), tcp(8080)]


def world(objects: list[Object]) -> list[Object]:
    spec = policies(objects)[AGENTS, "internet"]
    assert spec["podSelector"] == {"matchLabels": {LABEL_NETWORK: "Internet"}}
    assert spec["policyTypes"] == ["Egress"]
    (rule,) = spec["egress"]
    assert list(rule) == ["to"]
    blocks: list[Object] = [peer["ipBlock"] for peer in rule["to"]]
    return blocks


def allowed(blocks: list[Object], address: str) -> bool:
    """Whether an address is in the world, as a network plugin decides it."""
    wanted = ipaddress.ip_address(address)

    def within(cidr: str) -> bool:
        network = ipaddress.ip_network(cidr)
        return network.version == wanted.version and wanted in network

    return any(
        within(block["cidr"]) and not any(within(hole) for hole in block["except"])
        for block in blocks
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True),
        ("203.0.113.9", True),
        ("172.15.0.1", True),
        ("172.32.0.1", True),
        ("2606:4700:4700::1111", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("100.127.255.255", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("172.31.255.255", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::1", False),
        ("fd00:ec2::254", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2002:a00:1::1", False),
        ("2001:0:a00:1::1", False),
    ],
)
def test_the_world_is_what_is_public(helm: Helm, address: str, expected: bool) -> None:
    assert allowed(world(helm.objects(KEY)), address) is expected


def test_more_can_be_denied(helm: Helm) -> None:
    more = ["198.51.100.0/24", "2001:db8::/32", "fd00::/8", "10.0.0.0/8"]
    blocks = world(helm.objects(KEY, {"networkPolicy": {"extraDenied": more}}))
    assert not allowed(blocks, "198.51.100.7")
    assert not allowed(blocks, "2001:db8::7")
    assert allowed(blocks, "203.0.113.9")
    for block in blocks:
        outer = ipaddress.ip_network(block["cidr"])
        holes = [ipaddress.ip_network(hole) for hole in block["except"]]
        # The API server refuses anything else.
        assert all(hole.subnet_of(outer) for hole in holes)  # type: ignore[arg-type]
        assert len(holes) == len(set(holes))


def ingress(objects: list[Object], name: str) -> Any:
    spec = policies(objects)[SYSTEM, name]
    assert spec["podSelector"] == part(name)
    assert spec["policyTypes"] == ["Ingress"]
    return spec["ingress"]


def test_redis_is_for_the_parts_that_use_it(helm: Helm) -> None:
    peers = [{"podSelector": part(name)} for name in ("operator", "gateway", "orchestrator")]
    assert ingress(helm.objects(KEY), "redis") == [{"from": peers, "ports": tcp(6379)}]


def test_the_model_server_is_for_the_gateway(helm: Helm) -> None:
    expected = [{"from": [{"podSelector": part("gateway")}], "ports": tcp(8080)}]
    assert ingress(helm.objects(DEVELOPMENT), "model-server") == expected


def test_a_part_that_does_not_run_has_no_policy(helm: Helm) -> None:
    own = {"redis": {"enabled": False, "url": "redis://r:6379/0"}}
    names = {name for _, name in policies(helm.objects(KEY, own))}
    assert names == {"sealed", "internet", "gateway", "operator", "orchestrator"}


def test_the_gateway_is_for_session_namespaces(helm: Helm) -> None:
    objects = helm.objects(KEY, {"sessions": {"namespaces": ["one", "two"]}})
    peers = [{"namespaceSelector": namespace(name)} for name in ("one", "two")]
    assert ingress(objects, "gateway") == [{"from": peers, "ports": tcp(8080)}]


def test_metrics_are_for_whom_the_values_name(helm: Helm) -> None:
    assert ingress(helm.objects(KEY), "operator") == []
    peers = [{"namespaceSelector": namespace("monitoring")}]
    objects = helm.objects(KEY, {"networkPolicy": {"metricsFrom": peers}})
    rule = {"from": peers, "ports": tcp(9090)}
    assert ingress(objects, "operator") == [rule]
    assert ingress(objects, "gateway")[1:] == [rule]


def test_every_policy_selects_pods_that_the_chart_makes(helm: Helm) -> None:
    objects = helm.objects(DEVELOPMENT)
    labels = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in objects
        if item["kind"] in {"Deployment", "StatefulSet"} and item["metadata"]["namespace"] == SYSTEM
    ]
    for (where, name), spec in policies(objects).items():
        if where == SYSTEM:
            wanted = spec["podSelector"]["matchLabels"].items()
            assert sum(wanted <= found.items() for found in labels) == 1, name


def test_only_constructs_that_the_local_cluster_renders(helm: Helm) -> None:
    # Named ports, port ranges and SCTP are refused there (docs/local-cluster.md).
    text = json.dumps(list(policies(helm.objects(DEVELOPMENT)).values()))
    assert "endPort" not in text
    assert "SCTP" not in text
    for spec in policies(helm.objects(DEVELOPMENT)).values():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert all(isinstance(port["port"], int) for port in rule.get("ports", []))


def network_test(helm: Helm, *layers: Object) -> tuple[Object, Object, Object]:
    """Service, Deployment and Pod of `helm test` in one session namespace."""
    made = {item["kind"]: item for item in helm.tests(*layers)}
    return made["Service"], made["Deployment"], made["Pod"]


def test_helm_test_tries_from_a_pod_like_a_run_of_every_session_namespace(helm: Helm) -> None:
    tests = helm.tests(KEY, {"sessions": {"namespaces": ["one", "two"]}})
    pods = [item for item in tests if item["kind"] == "Pod"]
    assert [item["metadata"]["namespace"] for item in pods] == ["one", "two"]
    for item in pods:
        # The least that any run is denied.
        assert item["metadata"]["labels"][LABEL_NETWORK] == "Internet"
        assert "agentsession.dev/session" not in item["metadata"]["labels"]


def test_helm_test_gives_arguments_that_the_check_reads(helm: Helm) -> None:
    _, _, pod = network_test(helm, DEVELOPMENT)
    (container,) = pod["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "agentsession_operator.network_check"]
    read = network_check.parse([*container["command"][3:], *container["args"]])
    assert read.gateway == "http://agentsession-gateway.agentsession-system.svc:8080"
    assert [str(target) for target in [read.peer, *read.sealed, *read.unproven]] == [
        "another pod of this namespace (agentsession-network-test-peer.agents.svc:8080)",
        "the API server (kubernetes.default.svc:443)",
        "Redis (agentsession-redis.agentsession-system.svc:6379)",
        "the model server (agentsession-model-server.agentsession-system.svc:8080)",
        "cloud metadata (169.254.169.254:80)",
    ]
    assert read.policies
    _, _, pod = network_test(helm, KEY, {"networkPolicy": {"enabled": False}})
    (container,) = pod["spec"]["containers"]
    assert not network_check.parse([*container["command"][3:], *container["args"]]).policies


def test_the_other_pod_is_named_once_it_listens(helm: Helm) -> None:
    service, deployment, pod = network_test(helm, KEY)
    assert service["spec"]["clusterIP"] == "None"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    read = network_check.parse(container["command"][3:])
    assert read.port == service["spec"]["ports"][0]["port"]
    assert container["readinessProbe"]["tcpSocket"]["port"] == read.port
    weights = [item["metadata"]["annotations"]["helm.sh/hook-weight"] for item in (deployment, pod)]
    assert weights == ["-1", "0"]


def test_pods_of_helm_test_fit_the_restricted_standard(helm: Helm) -> None:
    secret = {"defaultTemplate": {"pod": {"imagePullSecrets": [{"name": "registry"}]}}}
    _, deployment, pod = network_test(helm, KEY, secret)
    for spec in (deployment["spec"]["template"]["spec"], pod["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
