"""Every way a start can fail: reason, message, Event, and that it mends itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentsession_testing.cluster import Body, Product, condition, phase_of, reply_of

NewName = Callable[[str], str]


def failed_start(product: Product, name: str, reason: str, *words: str) -> Body:
    """Waits until the session says why it does not start, in Ready and in an Event."""
    failed = product.wait(
        name,
        f"phase Failed with Ready={reason}",
        lambda seen: phase_of(seen) == "Failed" and condition(seen, "Ready")["reason"] == reason,
    )
    ready = condition(failed, "Ready")
    assert ready["status"] == "False"
    for word in words:
        assert word in ready["message"]
    product.wait_event(name, reason)
    return failed


def with_template(product: Product, name: str, **spec: Any) -> Body:
    return product.manifest(name, prompt="hello", templateRef={"name": name}, **spec)


def quota(product: Product, name: str, **hard: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": product.names.sessions_namespace},
        "spec": {"hard": hard},
    }


def storage_class(name: str, provisioner: str) -> Body:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
    }


def of_class(name: str) -> Body:
    return {
        "volumeClaimTemplate": {
            "spec": {
                "storageClassName": name,
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "64Mi"}},
            }
        }
    }


def default_provisioner(product: Product) -> str:
    classes = json.loads(product.kubectl("get", "storageclasses", "-o", "json"))["items"]
    return str(classes[0]["provisioner"])


def images(product: Product) -> dict[str, str]:
    """Component → image of the release under test."""
    pods = json.loads(
        product.kubectl("get", "pods", "-o", "json", namespace=product.names.namespace)
    )
    return {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"]["containers"][0][
            "image"
        ]
        for pod in pods["items"]
    }


def test_no_node_fits(product: Product, new_name: NewName) -> None:
    name = new_name("unschedulable")
    nowhere = product.template(name, pod={"nodeSelector": {"example.com/no-such": "node"}})
    with product.applied(nowhere):
        body = product.apply(with_template(product, name))
        failed_start(product, name, "Unschedulable", "no node takes the pod")
        product.apply(product.template(name))
        assert reply_of(product.answer(body))


def test_quota_for_pods(product: Product, new_name: NewName) -> None:
    name = new_name("podquota")
    with product.applied(quota(product, name, pods="0")):
        body = product.apply(product.manifest(name, prompt="hello"))
        failed_start(product, name, "QuotaExceeded", f"exceeded quota: {name}")
    answered = product.answer(body)
    assert reply_of(answered)
    assert condition(answered, "Degraded")["status"] == "False"


def test_quota_for_volume_claims(product: Product, new_name: NewName) -> None:
    name = new_name("claimquota")
    with product.applied(quota(product, name, persistentvolumeclaims="0")):
        body = product.apply(product.manifest(name, prompt="hello"))
        failed = failed_start(product, name, "QuotaExceeded", f"exceeded quota: {name}")
        assert condition(failed, "WorkspaceReady")["reason"] == "QuotaExceeded"
        assert product.jobs(name) == []
    assert reply_of(product.answer(body))


def test_pod_refused_by_admission(product: Product, new_name: NewName) -> None:
    name = new_name("admission")
    refused = product.template(
        name, pod={"volumes": [{"name": "host", "hostPath": {"path": "/etc"}}]}
    )
    with product.applied(refused):
        body = product.apply(with_template(product, name))
        failed_start(product, name, "PodRefused", "violates PodSecurity", "hostPath")
        product.apply(product.template(name))
        assert reply_of(product.answer(body))


def test_storage_class_missing(product: Product, new_name: NewName) -> None:
    name = new_name("noclass")
    body = product.apply(product.manifest(name, prompt="hello", workspace=of_class(name)))
    failed = failed_start(product, name, "StorageClassNotFound", f'"{name}" not found')
    assert condition(failed, "WorkspaceReady")["reason"] == "StorageClassNotFound"
    with product.applied(storage_class(name, default_provisioner(product))):
        answered = product.answer(body)
        assert reply_of(answered)
        assert condition(answered, "WorkspaceReady")["status"] == "True"


def test_volume_that_nobody_makes(product: Product, new_name: NewName) -> None:
    name = new_name("stuck")
    with product.applied(
        storage_class(name, "example.com/nobody"), product.template(name, workspace=of_class(name))
    ):
        body = product.apply(with_template(product, name))
        failed_start(product, name, "VolumeStuck", f"{name}-workspace", "example.com/nobody")
        # What a person does: other storage in the template, and the claim that holds nothing away.
        product.apply(product.template(name))
        product.delete("pvc", f"{name}-workspace")
        assert reply_of(product.answer(body))


def test_volume_of_another_user(product: Product, new_name: NewName) -> None:
    name = new_name("foreign")
    retained = {"retentionPolicy": {"whenDeleted": "Retain"}}
    secret = f"run: echo secret of {name} > secret.txt"
    product.answer(
        product.apply(product.manifest(name, user=name, prompt=secret, workspace=retained))
    )
    product.kubectl("delete", "agentsession", name, "--timeout=60s")
    body = product.apply(product.manifest(name, user=f"{name}-other", prompt="run: cat secret.txt"))
    failed = failed_start(product, name, "WorkspaceConflict", "belongs to another user")
    assert condition(failed, "WorkspaceReady")["reason"] == "WorkspaceConflict"
    assert f"{name}-r1" not in product.jobs(name)
    product.delete("pvc", f"{name}-workspace")
    answered = product.answer(body)
    assert "secret of" not in reply_of(answered)


def test_claim_that_is_no_workspace(product: Product, new_name: NewName) -> None:
    name = new_name("byhand")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"{name}-workspace",
            "namespace": product.names.sessions_namespace,
        },
        "spec": of_class("")["volumeClaimTemplate"]["spec"],
    }
    with product.applied(claim):
        body = product.apply(product.manifest(name, prompt="hello"))
        failed_start(product, name, "WorkspaceConflict", "not this session's")
    assert reply_of(product.answer(body))


def test_image_without_a_runner(product: Product, new_name: NewName) -> None:
    name = new_name("silent")
    # Valkey runs happily as a run pod and never says hello.
    with product.applied(product.template(name, image=images(product)["redis"])):
        body = product.apply(with_template(product, name))
        failed_start(product, name, "RunnerSilent", "did not say hello", "kubectl logs")
        product.apply(product.template(name))
        assert reply_of(product.answer(body))


def test_image_whose_program_ends_at_once(product: Product, new_name: NewName) -> None:
    name = new_name("exits")
    # The service image's own program finds no configuration in a run pod.
    with product.applied(product.template(name, image=images(product)["gateway"])):
        body = product.apply(with_template(product, name))
        failed = failed_start(product, name, "RunFailed", "ended by itself with exit code 1")
        assert condition(failed, "Degraded")["reason"] == "RunFailed"
        product.apply(product.template(name))
        assert reply_of(product.answer(body))


def test_container_that_cannot_be_made(product: Product, new_name: NewName) -> None:
    name = new_name("config")
    missing = {"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "a"}}}
    with product.applied(product.template(name, pod={"env": [missing]})):
        body = product.apply(with_template(product, name))
        failed_start(product, name, "ContainerCannotStart", "CreateContainerConfigError", name)
        product.apply(product.template(name))
        assert reply_of(product.answer(body))


def test_too_little_memory(product: Product, new_name: NewName) -> None:
    name = new_name("memory")
    tiny = {"requests": {"memory": "8Mi"}, "limits": {"memory": "16Mi"}}
    body = product.apply(product.manifest(name, prompt="hello", pod={"resources": tiny}))
    failed = failed_start(product, name, "RunOutOfMemory", "raise pod.resources.limits.memory")
    assert condition(failed, "Degraded")["reason"] == "RunOutOfMemory"
    assert body["metadata"]["uid"] == failed["metadata"]["uid"]
    enough = {"requests": {"memory": "64Mi"}, "limits": {"memory": "1Gi"}}
    product.patch(name, pod={"resources": enough})
    answered = product.answer(body)
    assert reply_of(answered)
    assert condition(answered, "Degraded")["status"] == "False"


def test_runner_that_leaves_without_a_word(product: Product, new_name: NewName) -> None:
    name = new_name("leaves")
    first = product.answer(product.apply(product.manifest(name, prompt="hello")))
    product.wait_phase(name, "Idle")
    # Told to end by nobody who may: it exits 0, without a turn and without a bye.
    product.kubectl("exec", first["status"]["podName"], "--", "bash", "-c", "kill 1")
    left = product.wait_reason(name, "Degraded", "RunFailed")
    assert "exit code 0" in condition(left, "Degraded")["message"]
    product.wait_event(name, "RunFailed")
    second = product.answer(product.patch(name, prompt="hello again"))
    assert second["status"]["runs"] == 2
    assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]
    assert condition(second, "Degraded")["status"] == "False"


def test_run_without_room_for_a_turn_ends_and_the_next_answers(
    product: Product, new_name: NewName
) -> None:
    name = new_name("deadline")
    limits = {"turnTimeoutSeconds": 5, "activeDeadlineSeconds": 15}
    first = product.answer(product.apply(product.manifest(name, prompt="hello", run=limits)))
    assert first["status"]["runs"] == 1
    asleep = product.wait_phase(name, "Suspended")
    assert condition(asleep, "Suspended")["reason"] == "RunDeadlineNear"
    second = product.answer(product.patch(name, prompt="hello again"))
    assert second["status"]["runs"] == 2
    assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]
