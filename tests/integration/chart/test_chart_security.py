"""Secrets, rights and the pods' own limits, as helm renders them."""

from __future__ import annotations

import base64
import json

import yaml

from agentsession_core.naming import ANNOTATION_GATEWAY, CLI_SERVICE_ACCOUNT
from agentsession_operator.rights import NEEDED
from agentsession_testing.chart import (
    DEVELOPMENT,
    KEY,
    Helm,
    identity,
    one,
    pod_specs,
)


def test_a_secret_is_never_in_a_command_an_environment_or_the_configuration(helm: Helm) -> None:
    password = {"redis": {"password": 'pass"word'}}
    shown = [o for o in helm.objects(KEY, password) if o["kind"] != "Secret"]
    text = yaml.safe_dump(shown)
    for secret in ("sk-test-0123", 'pass"word', base64.b64encode(b"sk-test-0123").decode()):
        assert secret not in text
    for spec in pod_specs(shown).values():
        # An environment holds what Kubernetes knows of the pod, and nothing else.
        variables = [one for container in spec["containers"] for one in container.get("env", [])]
        assert all(set(one["valueFrom"]) == {"fieldRef"} for one in variables)


def test_only_the_gateway_gets_the_model_key(helm: Helm) -> None:
    specs = pod_specs(helm.objects(KEY))
    holders = {name for name, spec in specs.items() if "agentsession-model" in json.dumps(spec)}
    assert holders == {"agentsession-gateway"}


def test_a_secret_of_ones_own_is_used_instead(helm: Helm) -> None:
    own = {
        "gateway": {"models": {"anthropic": {"existingSecret": "my-model"}}},
        "redis": {"existingSecret": "my-redis"},
        "orchestrator": {"encryption": {"existingSecret": "my-key"}},
    }
    objects = helm.objects(own)
    assert not [item for item in objects if item["kind"] == "Secret"]
    specs = pod_specs(objects)
    assert "my-model" in json.dumps(specs["agentsession-gateway"]["volumes"])
    assert "my-redis" in json.dumps(specs["agentsession-operator"]["volumes"])
    assert "my-redis" in json.dumps(specs["agentsession-redis"]["volumes"])
    assert "my-key" in json.dumps(specs["agentsession-orchestrator"]["volumes"])


def test_every_pod_fits_the_restricted_standard(helm: Helm) -> None:
    specs = pod_specs(helm.objects(DEVELOPMENT))
    assert len(specs) == 5
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        for container in spec.get("initContainers", []):
            assert container["securityContext"] == spec["containers"][0]["securityContext"], name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container), name


def test_only_what_calls_the_api_server_holds_a_token(helm: Helm) -> None:
    specs = pod_specs(helm.objects(DEVELOPMENT))
    holders = {n for n, spec in specs.items() if spec["automountServiceAccountToken"]}
    parts = ("gateway", "operator", "orchestrator")
    assert holders == {f"agentsession-{part}" for part in parts}


def test_the_rights_are_those_that_the_parts_need(helm: Helm) -> None:
    objects = helm.objects(KEY)

    def rights(kind: str, name: str) -> set[tuple[str, str, str]]:
        return {
            (group, resource, verb)
            for rule in one(objects, kind, name)["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    own = "agentsession.dev"
    assert rights("ClusterRole", f"{own}:agentsession-system:agentsession:gateway") == {
        ("authentication.k8s.io", "tokenreviews", "create")
    }
    assert rights("Role", "agentsession-gateway") == {
        (group, resource, "get")
        for group, resource in (
            ("", "pods"),
            ("", "configmaps"),
            ("", "secrets"),
            ("batch", "jobs"),
            (own, "agentsessions"),
            (own, "agentsessiontemplates"),
        )
    }
    operator = rights("Role", "agentsession-operator")
    assert not [right for right in operator if right[1] in {"secrets", "configmaps"}]
    assert not [right for right in operator if "*" in right]
    needed = {(group, resource, verb) for group, resource, verbs in NEEDED for verb in verbs}
    assert needed <= set(operator), "what the operator misses it says, and is unready"
    # `spec` is the user's: the operator may write nothing but the status.
    assert {verb for group, resource, verb in operator if resource == "agentsessions"} == {
        *("get", "list", "watch", "delete")
    }


def test_people_at_terminals_are_bound_where_the_values_say(helm: Helm) -> None:
    people = [{"kind": "Group", "name": "agents-admins", "apiGroup": "rbac.authorization.k8s.io"}]
    objects = helm.objects(KEY, {"terminal": {"users": people}}, release="mine", namespace="sys")
    bound = {
        item["metadata"]["namespace"]: item
        for item in objects
        if item["kind"] == "RoleBinding" and item["metadata"]["name"] == "mine-terminal-user"
    }
    assert set(bound) == {"agents", "sys"}
    for item in bound.values():
        assert item["subjects"] == people
        assert item["roleRef"]["name"] == "mine-terminal-user"


def test_a_token_may_be_asked_of_the_terminals_account_alone(helm: Helm) -> None:
    objects = helm.objects(KEY, release="mine", namespace="sys")
    role = next(
        item for item in objects if identity(item) == ("Role", "agents", "mine-terminal-user")
    )
    [token] = [rule for rule in role["rules"] if "serviceaccounts/token" in rule["resources"]]
    assert token["resourceNames"] == [CLI_SERVICE_ACCOUNT]
    assert token["verbs"] == ["create"]
    account = one(objects, "ServiceAccount", CLI_SERVICE_ACCOUNT)
    assert account["metadata"]["annotations"][ANNOTATION_GATEWAY] == "sys/mine-gateway"
    assert account["automountServiceAccountToken"] is False
