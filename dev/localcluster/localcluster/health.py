"""Whether the parts of the cluster answer."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import struct
from typing import Any

from localcluster.settings import CLUSTER_DOMAIN, NODE_NAME, Settings

TIMEOUT_SECONDS = 2.0
DNS_QUERY_ID = 0x6167
DNS_TYPE_A, DNS_CLASS_IN = 1, 1


class Health:
    """Checks of a cluster from its host; every check answers within a few seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def etcd(self) -> bool:
        """Return whether etcd says that it is healthy."""
        context = self._context("etcd-ca", "apiserver-etcd-client")
        answer = _https("127.0.0.1", self._settings.ports.etcd_client, "/health", context)
        return answer is not None and b'"true"' in answer[1]

    def api_server(self) -> bool:
        """Return whether the API server is ready."""
        answer = self._api("/readyz")
        return answer is not None and answer[0] == 200

    def kubelet(self) -> bool:
        """Return whether the kubelet says that it is healthy."""
        return self._healthz(self._settings.ports.kubelet_health)

    def kube_proxy(self) -> bool:
        """Return whether kube-proxy has written its rules and keeps them up to date."""
        return self._healthz(self._settings.ports.kube_proxy_health)

    def netpol(self) -> bool:
        """Return whether the rules of all network policies are written."""
        return self._healthz(self._settings.ports.netpol_health)

    def refused_policies(self) -> list[str]:
        """Return a line for each NetworkPolicy that is refused, with the reason."""
        port = self._settings.ports.netpol_health
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        answer = _get(connection, "/refused")
        return answer[1].decode().splitlines() if answer is not None else []

    def system_namespace(self) -> bool:
        """Return whether the API server has made the namespace of the cluster's own objects."""
        answer = self._api("/api/v1/namespaces/kube-system")
        return answer is not None and answer[0] == 200

    def node(self) -> bool:
        """Return whether the node is Ready; stays true for a while after its kubelet died."""
        answer = self._api(f"/api/v1/nodes/{NODE_NAME}")
        return answer is not None and answer[0] == 200 and node_is_ready(json.loads(answer[1]))

    def default_account(self) -> bool:
        """Return whether pods can be made: the controller manager has made ServiceAccounts."""
        answer = self._api("/api/v1/namespaces/default/serviceaccounts/default")
        return answer is not None and answer[0] == 200

    def containerd(self) -> bool:
        """Return whether containerd's socket takes connections."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_SECONDS)
            try:
                client.connect(str(self._settings.paths.containerd_socket))
            except OSError:
                return False
        return True

    def dns(self) -> bool:
        """Return whether CoreDNS, asked directly, knows the API server's Service."""
        return self._resolves(str(self._settings.network.node_address))

    def dns_service(self) -> bool:
        """Return whether CoreDNS answers on its ClusterIP, as pods ask it."""
        return self._resolves(str(self._settings.network.dns_service))

    def api_service(self) -> bool:
        """Return whether the ClusterIP of Service default/kubernetes leads to the API server."""
        address = (str(self._settings.network.api_service), 443)
        try:
            with socket.create_connection(address, timeout=TIMEOUT_SECONDS):
                return True
        except OSError:
            return False

    def everything(self) -> bool:
        """Return whether every part answers."""
        checks = (
            *(self.api_server, self.netpol, self.containerd, self.kubelet, self.kube_proxy),
            self.node,
            *(self.dns, self.dns_service, self.api_service),
        )
        return all(check() for check in checks)

    def _healthz(self, port: int) -> bool:
        answer = _get(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS))
        return answer is not None and answer[0] == 200

    def _resolves(self, server: str) -> bool:
        name = f"kubernetes.default.svc.{CLUSTER_DOMAIN}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIMEOUT_SECONDS)
            try:
                client.sendto(dns_query(name), (server, 53))
                answer = client.recv(512)
            except OSError:
                return False
        return self._settings.network.api_service.packed in answer

    def _api(self, path: str) -> tuple[int, bytes] | None:
        port = self._settings.ports.api_server
        return _https("127.0.0.1", port, path, self._context("ca", "admin"))

    def _context(self, authority: str, client: str) -> ssl.SSLContext:
        pki = self._settings.paths.pki
        context = ssl.create_default_context(cafile=str(pki / f"{authority}.crt"))
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
        return context


def node_is_ready(node: dict[str, Any]) -> bool:
    """Return whether a Node object has the condition Ready."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def dns_query(name: str) -> bytes:
    """Return the packet that asks for the IPv4 address of a name."""
    header = struct.pack(">6H", DNS_QUERY_ID, 0x0100, 1, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack(">2H", DNS_TYPE_A, DNS_CLASS_IN)


def _https(host: str, port: int, path: str, context: ssl.SSLContext) -> tuple[int, bytes] | None:
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    return _get(connection, path)


def _get(
    connection: http.client.HTTPConnection, path: str = "/healthz"
) -> tuple[int, bytes] | None:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
