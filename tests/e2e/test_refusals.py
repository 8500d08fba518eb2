"""What the API server refuses at apply, and how: the message names the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agentsession_testing.cluster import KubectlError, Product

NewName = Callable[[str], str]
ASLEEP = {"operatingMode": "Suspended"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"idlePolicy": {"suspendAfterSeconds": 60, "deleteAfterSeconds": 60}},
            "spec.idlePolicy.suspendAfterSeconds: Invalid value: must be less than "
            "idlePolicy.deleteAfterSeconds",
            id="suspend not before delete",
        ),
        pytest.param(
            {"idlePolicy": {"suspendAfterSeconds": -1}},
            "spec.idlePolicy.suspendAfterSeconds",
            id="negative suspend",
        ),
        pytest.param(
            {"idlePolicy": {"deleteAfterSeconds": -1}},
            "spec.idlePolicy.deleteAfterSeconds",
            id="negative delete",
        ),
        pytest.param(
            {"run": {"turnTimeoutSeconds": 0}}, "spec.run.turnTimeoutSeconds", id="no timeout"
        ),
        pytest.param(
            {"run": {"turnTimeoutSeconds": 9, "activeDeadlineSeconds": 9}},
            "spec.run.turnTimeoutSeconds: Invalid value: must be less than run.activeDeadlineSeconds",
            id="turn not before deadline",
        ),
        pytest.param(
            {"agent": {"type": "gpt"}},
            'spec.agent.type: Unsupported value: "gpt": supported values: "claude-code", "codex", "droid"',
            id="unknown agent type",
        ),
        pytest.param({"user": {}}, "spec.user.id: Required value", id="no user id"),
        pytest.param({"user": {"id": ""}}, "spec.user.id", id="empty user id"),
        pytest.param({"user": {"id": "42:*"}}, "spec.user.id", id="user id with a pattern"),
        pytest.param({"user": {"id": "42\n"}}, "spec.user.id", id="user id with a line break"),
        pytest.param({"user": {"id": "a" * 64}}, "spec.user.id", id="long user id"),
        pytest.param({"user": {"id": 42}}, "must be of type string", id="user id as a number"),
        pytest.param({"mailbox": "a b"}, "spec.mailbox", id="unfit mailbox"),
        pytest.param({"prompt": "x" * 131_073}, "spec.prompt: Too long", id="long prompt"),
        pytest.param({"promt": "hello"}, 'unknown field "spec.promt"', id="unknown field"),
        pytest.param(
            {"pod": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}},
            "spec.pod.env[0]",
            id="env from a Secret",
        ),
    ],
)
def test_refused_at_apply(
    product: Product, new_name: NewName, spec: dict[str, Any], message: str
) -> None:
    manifest = product.manifest(new_name("refused"))
    manifest["spec"].update(spec)
    with pytest.raises(KubectlError) as refusal:
        product.apply(manifest)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "variable",
    [
        pytest.param({"name": "A"}, id="neither"),
        pytest.param({"name": "A", "value": "a", "valueFrom": {"fieldRef": {}}}, id="both"),
    ],
)
def test_a_templates_variable_has_one_source(
    product: Product, new_name: NewName, variable: dict[str, Any]
) -> None:
    with pytest.raises(KubectlError, match="set either value or valueFrom"):
        product.apply(product.template(new_name("refused"), pod={"env": [variable]}))


def test_a_missing_user_is_refused(product: Product, new_name: NewName) -> None:
    manifest = product.manifest(new_name("refused"))
    del manifest["spec"]["user"]
    with pytest.raises(KubectlError, match=r"spec\.user: Required value"):
        product.apply(manifest)


def test_a_name_over_fifty_characters_is_refused(product: Product) -> None:
    with pytest.raises(KubectlError, match=r"metadata\.name: Too long"):
        product.apply(product.manifest("n" * 51, user="42"))


@pytest.mark.parametrize(
    ("first", "change", "message"),
    [
        pytest.param({}, {"user": {"id": "other"}}, "spec.user.id", id="user id"),
        pytest.param({"mailbox": "a"}, {"mailbox": "b"}, "spec.mailbox", id="mailbox"),
        pytest.param({}, {"templateRef": {"name": "t"}}, "spec.templateRef", id="template added"),
        pytest.param(
            {"agent": {"type": "claude-code"}},
            {"agent": {"type": "codex"}},
            "spec.agent.type: Invalid value: is immutable",
            id="agent type changed",
        ),
        pytest.param(
            {"agent": {"type": "claude-code"}}, {"agent": None}, "spec.agent", id="agent removed"
        ),
        pytest.param(
            {
                "workspace": {
                    "volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
                }
            },
            {
                "workspace": {
                    "volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
                }
            },
            "spec.workspace.volumeClaimTemplate",
            id="volume claim",
        ),
    ],
)
def test_refused_as_a_change(
    product: Product,
    new_name: NewName,
    first: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    name = new_name("fixed")
    product.apply(product.manifest(name, **ASLEEP, **first))
    with pytest.raises(KubectlError) as refusal:
        product.patch(name, **change)
    assert message in str(refusal.value)


def test_retention_may_change(product: Product, new_name: NewName) -> None:
    name = new_name("fixed")
    product.apply(product.manifest(name, **ASLEEP))
    product.patch(name, workspace={"retentionPolicy": {"whenDeleted": "Retain"}})


def test_a_type_that_differs_from_the_pinned_one_cannot_be_added(
    product: Product, new_name: NewName
) -> None:
    name = new_name("pinned")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    with pytest.raises(KubectlError, match="is pinned to the type of the first run"):
        product.patch(name, agent={"type": "codex"})
    product.patch(name, agent={"type": "claude-code"})


def test_a_long_prompt_is_accepted_and_answered(product: Product, new_name: NewName) -> None:
    name = new_name("long")
    manifest = product.manifest(name, prompt="hello " + "x" * 100_000)
    # A client-side apply would keep a second copy of it in an annotation, beyond the limit there.
    product.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    assert product.answer(product.get(name))["status"]["lastTurn"]["outcome"] == "Succeeded"
