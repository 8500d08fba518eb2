"""Whose token the gateway takes: real tokens of the real API server, at the real gateway."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from agentsession_testing.cluster import Product

NewName = Callable[[str], str]
AUDIENCE = "agentsession-gateway"
ACCOUNT = "agentsession-runner"
# Recognised and current, but for a turn that is not the running one.
ACCEPTED = (410, "unknown_turn")
MESSAGES = "/v1/model/anthropic/v1/messages"


@dataclass(frozen=True)
class Door:
    """The gateway as a pod reaches it."""

    http: httpx.Client

    def asked(self, token: str, turn: str = "none") -> tuple[int, str]:
        """Status and code of an answer to events of a turn; they change nothing."""
        events = {"events": [{"seq": 1, "kind": "delta", "data": {"text": "x"}}]}
        answer = self._post(f"/v1/runner/turns/{turn}/events", token, events)
        return answer.status_code, str(answer.json()["code"])

    def model(self, token: str) -> tuple[int, str]:
        """Status and message of a model call."""
        answer = self._post(MESSAGES, token, {"model": "m", "max_tokens": 1, "messages": []})
        return answer.status_code, answer.json().get("error", {}).get("message", "")

    def _post(self, path: str, token: str, body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "anthropic-version": "2023-06-01"}
        return self.http.post(path, json=body, headers=headers)

    def until(self, token: str, wanted: tuple[int, str], seconds: float = 30) -> None:
        """Wait until the token is answered so; the gateway keeps a review for 10 s."""
        deadline = time.monotonic() + seconds
        while (seen := self.asked(token)) != wanted:
            assert time.monotonic() < deadline, f"waited {seconds} s for {wanted}, seen {seen}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def door(product: Product) -> Iterator[Door]:
    with (
        product.port_forward(f"svc/{product.names.release}-gateway", 8080) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as http,
    ):
        yield Door(http)


def token_of(
    product: Product,
    pod: str | None,
    *,
    audience: str | None = AUDIENCE,
    account: str = ACCOUNT,
    namespace: str = "",
) -> str:
    """A token as kubelet gets it for a pod's volume: TokenRequest, bound to the pod."""
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
    aimed = [f"--audience={audience}"] if audience else []
    return product.kubectl(
        "create", "token", account, "--duration=10m", *bound, *aimed, namespace=namespace
    ).strip()


@pytest.fixture
def run_pod(product: Product, new_name: NewName) -> str:
    """The pod of a session that is awake, its turn over."""
    name = new_name("token")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    (pod,) = product.pods(name)
    found: str = pod.metadata.name
    return found


def test_a_run_pods_own_token(product: Product, door: Door, run_pod: str) -> None:
    assert door.asked(token_of(product, run_pod)) == ACCEPTED


def test_wrong_tokens(product: Product, door: Door, run_pod: str) -> None:
    token = token_of(product, run_pod)
    head, payload, signature = token.split(".")
    other = ("A" if signature[0] != "A" else "B") + signature[1:]
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert door.asked("nonsense") == (401, "token_invalid")
    assert door.asked("a.b.c") == (401, "token_invalid")
    assert door.asked(f"{head}.{payload}.{other}") == (401, "token_invalid")
    assert door.asked(f"{none}.{payload}.") == (401, "token_invalid")
    assert door.model(f"{head}.{payload}.{other}")[0] == 401


def test_tokens_for_another_audience(product: Product, door: Door, run_pod: str) -> None:
    for audience in ("orchestrator-api", None):
        token = token_of(product, run_pod, audience=audience)
        assert door.asked(token) == (401, "token_invalid"), audience
        assert door.model(token)[0] == 401, audience


def test_a_token_that_is_bound_to_no_pod(product: Product, door: Door) -> None:
    assert door.asked(token_of(product, None)) == (403, "not_a_pod")


def test_a_pod_outside_the_session_namespaces(product: Product, door: Door) -> None:
    system = product.names.namespace
    (pod,) = product.core.list_namespaced_pod(
        system, label_selector="app.kubernetes.io/component=gateway"
    ).items
    token = token_of(
        product,
        pod.metadata.name,
        account=pod.spec.service_account_name,
        namespace=system,
    )
    assert door.asked(token) == (403, "not_a_run")


@contextmanager
def plain_pod(product: Product, name: str, session: str) -> Iterator[None]:
    """A pod that nothing controls, with the labels of a run; it never starts."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"agentsession.dev/session": session, "agentsession.dev/run": "1"},
        },
        "spec": {
            "serviceAccountName": ACCOUNT,
            "nodeSelector": {"no-such": "node"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "agent",
                    "image": "localhost/none",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    product.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    try:
        yield
    finally:
        product.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=false")


def test_a_foreign_pod_that_looks_like_a_run(
    product: Product, door: Door, run_pod: str, new_name: NewName
) -> None:
    session = run_pod.rpartition("-r1-")[0]
    name = new_name("foreign")
    with plain_pod(product, name, session):
        token = token_of(product, name)
        assert door.asked(token) == (403, "not_a_run")
        assert door.model(token)[0] == 403


def test_another_sessions_turn_is_not_its_own(
    product: Product, door: Door, run_pod: str, new_name: NewName
) -> None:
    busy = new_name("busy")
    product.apply(product.manifest(busy, prompt="run: sleep 20; echo done"))
    working = product.wait_phase(busy, "Working")
    (pod,) = product.pods(busy)
    own = token_of(product, pod.metadata.name)
    stranger = token_of(product, run_pod)
    assert working["status"]["podName"] == pod.metadata.name
    # Whatever turn is named, a stranger's mailbox has no such turn; model calls count as its own.
    assert door.asked(stranger, turn="turn-of-another") == ACCEPTED
    assert door.model(own)[0] == 400
    product.kubectl("delete", "agentsession", busy, "--wait=false")


def test_the_pod_of_a_finished_run(product: Product, door: Door, run_pod: str) -> None:
    name = run_pod.rpartition("-r1-")[0]
    token = token_of(product, run_pod)
    product.patch(name, operatingMode="Suspended")
    product.wait_phase(name, "Suspended")
    # Its pod object is there still, and the API server takes its token: it may do nothing.
    status, message = door.model(token)
    assert (status, "no_turn" in message) == (403, True)
    product.answer(product.patch(name, operatingMode="Running", prompt="hello again"))
    # Now another run is the current one.
    assert door.asked(token) == (403, "stale_run")
    assert "stale_run" in door.model(token)[1]
    product.kubectl("delete", "pod", run_pod, "--ignore-not-found")
    door.until(token, (401, "token_invalid"))


def test_an_expired_token(product: Product, door: Door, run_pod: str) -> None:
    key_file = Path(os.environ["KUBECONFIG"]).parent / "pki" / "service-account.key"
    if not key_file.exists():
        pytest.skip("only the local cluster's signing key is at hand to make an old token with")
    token = token_of(product, run_pod)
    assert door.asked(resigned(token, key_file, seconds=0)) == ACCEPTED
    assert door.asked(resigned(token, key_file, seconds=3600)) == (401, "token_invalid")


def resigned(token: str, key_file: Path, seconds: int) -> str:
    """The same token as it would be had it been issued so many seconds earlier."""
    head, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    for name in ("iat", "nbf", "exp"):
        claims[name] -= seconds
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = f"{head}.{_base64(json.dumps(claims).encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
