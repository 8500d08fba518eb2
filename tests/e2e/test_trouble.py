"""What goes wrong is named in a condition and an Event, and mends itself when the cause is gone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agentsession_testing.cluster import ModelServer, Product, condition, phase_of, reply_of

NewName = Callable[[str], str]


@contextmanager
def deleted_afterwards(product: Product, kind: str, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        product.kubectl("delete", kind, name, "--ignore-not-found")


def test_missing_template(product: Product, new_name: NewName) -> None:
    name = new_name("template")
    body = product.apply(product.manifest(name, prompt="hello", templateRef={"name": name}))
    failed = product.wait_reason(name, "Accepted", "TemplateNotFound")
    assert phase_of(failed) == "Failed"
    assert name in condition(failed, "Accepted")["message"]
    assert product.jobs(name) == []
    product.wait_event(name, "TemplateNotFound")
    with deleted_afterwards(product, "agentsessiontemplate", name):
        product.apply(product.template(name, agent={"model": "claude-opus-5-5"}))
        answered = product.answer(body)
        assert answered["status"]["effective"]["model"] == "claude-opus-5-5"
        assert condition(answered, "Accepted")["status"] == "True"


def test_missing_image(product: Product, new_name: NewName) -> None:
    name = new_name("image")
    with deleted_afterwards(product, "agentsessiontemplate", name):
        broken = product.template(name, image="localhost/no-such-image:1")
        product.apply(broken)
        body = product.apply(product.manifest(name, prompt="hello", templateRef={"name": name}))
        failed = product.wait_reason(name, "Ready", "ImagePullFailed")
        assert "no-such-image" in condition(failed, "Ready")["message"]
        assert phase_of(failed) == "Failed"
        product.wait_event(name, "ImagePullFailed")
        product.apply(product.template(name, agent={"type": "claude-code"}) | {"spec": {}})
        answered = product.answer(body)
        assert reply_of(answered)
        assert condition(answered, "Ready")["reason"] == "RunnerConnected"


def model_secret(product: Product) -> tuple[str, str, str]:
    """Name, key and value of the Secret that holds the model key."""
    secrets = json.loads(
        product.kubectl("get", "secrets", "-o", "json", namespace=product.names.namespace)
    )
    found = [
        (secret["metadata"]["name"], key, base64.b64decode(value).decode())
        for secret in secrets["items"]
        for key, value in secret.get("data", {}).items()
        if key in ("anthropic-api-key", "apiKey")
    ]
    assert found, "no Secret with a model key"
    return found[0]


def test_wrong_model_key(product: Product, new_name: NewName, model_server: ModelServer) -> None:
    name = new_name("key")
    model_server.fail(10, status=401)
    try:
        body = product.apply(product.manifest(name, prompt="hello"))
        failed = product.wait_reason(name, "Degraded", "ModelAuthenticationFailed", seconds=30)
        assert failed["status"]["lastTurn"]["outcome"] == "ModelError"
        assert "gateway.models.anthropic" in condition(failed, "Degraded")["message"]
        product.wait_event(name, "ModelAuthenticationFailed")
        assert body["metadata"]["uid"] == failed["metadata"]["uid"]
    finally:
        model_server.mend()
    mended = product.answer(product.patch(name, prompt="hello again"))
    assert mended["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert condition(mended, "Degraded")["status"] == "False"


def test_wrong_key_of_a_template_and_its_mending(product: Product, new_name: NewName) -> None:
    name = new_name("credentials")
    _, _, right = model_secret(product)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"agentsession.dev/credentials": "true"}},
        "stringData": {"apiKey": "sk-wrong"},
    }
    with (
        deleted_afterwards(product, "secret", name),
        deleted_afterwards(product, "agentsessiontemplate", name),
    ):
        product.apply(secret)
        product.apply(product.template(name, credentials={"secretRef": {"name": name}}))
        product.apply(product.manifest(name, prompt="hello", templateRef={"name": name}))
        failed = product.wait_reason(name, "Degraded", "ModelAuthenticationFailed", seconds=30)
        assert failed["status"]["lastTurn"]["outcome"] == "ModelError"
        product.apply({**secret, "stringData": {"apiKey": right}})
        # The gateway reads the Secret anew within half a minute; each new message is a new try.
        for attempt in range(60):
            answered = product.answer(product.patch(name, prompt=f"attempt {attempt}"))
            if answered["status"]["lastTurn"]["outcome"] == "Succeeded":
                break
        assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
        assert condition(answered, "Degraded")["status"] == "False"


def test_the_real_model_key_is_nowhere_in_the_pod(product: Product, new_name: NewName) -> None:
    name = new_name("secret")
    _, _, key = model_secret(product)
    search = (
        "run: (env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; "
        "find / -xdev -type f -readable -size -2M -print0 2>/dev/null "
        "| xargs -0 cat 2>/dev/null; "
        "find /workspace /tmp /home /var/run/secrets -type f -readable -print0 2>/dev/null "
        f"| xargs -0 cat 2>/dev/null) | grep -a -c -F {key[:6]}''{key[6:]}; echo searched"
    )
    answered = product.answer(product.apply(product.manifest(name, prompt=search)), seconds=180)
    assert "\n0\nsearched" in reply_of(answered), "grep counts the lines with the key"
    shown = product.kubectl("get", "jobs,pods,agentsession", "-o", "json")
    assert key not in shown
    for deployment in ("operator", "gateway"):
        logs = product.kubectl(
            "logs",
            f"deploy/{product.names.release}-{deployment}",
            namespace=product.names.namespace,
        )
        assert key not in logs


def test_env_and_files_are_printed_by_the_agent_itself(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("environment")
    _, _, key = model_secret(product)
    product.answer(product.apply(product.manifest(name, prompt="run: env; echo environment-done")))
    product.answer(
        product.patch(
            name, prompt="run: cat /var/run/secrets/agentsession.dev/gateway/token | wc -c"
        )
    )
    seen = json.dumps(model_server.requests("environment-done"))
    assert key not in seen


def test_one_mailbox_one_session(product: Product, new_name: NewName) -> None:
    first, second = new_name("mailbox"), new_name("mailbox")
    product.answer(product.apply(product.manifest(first, user=first, prompt="hello")))
    body = product.apply(product.manifest(second, user=first, prompt="echo me, too"))
    refused = product.wait_reason(second, "Ready", "MailboxTaken")
    assert phase_of(refused) == "Failed"
    assert product.jobs(second) == []
    product.kubectl("delete", "agentsession", first, "--timeout=60s")
    # The mailbox goes with its session; the next one takes it over by itself.
    answered = product.answer(body)
    assert answered["status"]["runs"] == 1
    assert "too" in reply_of(answered)


def test_killed_run_is_tried_again(product: Product, new_name: NewName) -> None:
    name = new_name("killed")
    body = product.apply(product.manifest(name, prompt="run: sleep 4; echo survived"))
    product.wait_phase(name, "Working")
    (pod,) = product.pods(name)
    product.kubectl("delete", "pod", pod.metadata.name, "--wait=false")
    answered = product.answer(body, seconds=120)
    assert "survived" in reply_of(answered)
    assert answered["status"]["runs"] == 2
