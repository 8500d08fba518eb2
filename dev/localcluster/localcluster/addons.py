"""Objects that a working cluster has besides its processes."""

from __future__ import annotations

from typing import Any

from localcluster.settings import PROVISIONER_NAME, STORAGE_CLASS, Settings

MANAGED_BY = "localcluster.agentsession.dev"


def manifests(settings: Settings) -> list[dict[str, Any]]:
    """Return all objects: the DNS Service, the StorageClass and the roles of host processes."""
    roles = [*_dns_role(), *_provisioner_role(), *_netpol_role()]
    return [*_dns(settings), _storage_class(), *roles]


def _dns(settings: Settings) -> list[dict[str, Any]]:
    """Return the Service of DNS: without selector, since CoreDNS is a process of the host."""
    ports = [("dns", "UDP"), ("dns-tcp", "TCP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns"},
        },
        "spec": {
            "clusterIP": str(settings.network.dns_service),
            "ports": [{"name": name, "port": 53, "protocol": kind} for name, kind in ports],
        },
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-host",
            "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": "kube-dns",
                "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
            },
        },
        "addressType": "IPv4",
        "ports": [
            {"name": name, "port": settings.ports.dns, "protocol": kind} for name, kind in ports
        ],
        "endpoints": [
            {"addresses": [str(settings.network.node_address)], "conditions": {"ready": True}}
        ],
    }
    return [service, endpoints]


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER_NAME,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def _dns_role() -> list[dict[str, Any]]:
    rules = [
        _rule("", ["endpoints", "services", "pods", "namespaces"], ["list", "watch"]),
        _rule("discovery.k8s.io", ["endpointslices"], ["list", "watch"]),
    ]
    return _role("localcluster:coredns", rules)


def _provisioner_role() -> list[dict[str, Any]]:
    rules = [
        _rule(
            "",
            ["persistentvolumes"],
            ["get", "list", "watch", "create", "update", "patch", "delete"],
        ),
        _rule("", ["persistentvolumeclaims"], ["get", "list", "watch", "update", "patch"]),
        _rule("", ["nodes"], ["get", "list", "watch"]),
        _rule("", ["events"], ["create", "patch", "update"]),
        _rule("storage.k8s.io", ["storageclasses"], ["get", "list", "watch"]),
    ]
    return _role("localcluster:provisioner", rules)


def _netpol_role() -> list[dict[str, Any]]:
    rules = [
        _rule("", ["pods", "namespaces"], ["list", "watch"]),
        _rule("networking.k8s.io", ["networkpolicies"], ["list", "watch"]),
        _rule("", ["events"], ["create", "patch"]),
    ]
    return _role("localcluster:netpol", rules)


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _role(user: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a ClusterRole and its binding to the user of the same name."""
    group = "rbac.authorization.k8s.io"
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": user},
        "rules": rules,
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    return [role, binding]
