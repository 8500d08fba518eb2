"""The chart as helm renders it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from agentsession_core.api.template import AgentSessionTemplateSpec
from agentsession_core.naming import CLI_SERVICE_ACCOUNT, RUNNER_SERVICE_ACCOUNT
from agentsession_core.settings import Settings, load_settings
from agentsession_testing.chart import (
    CHART,
    DEVELOPMENT,
    IMAGES,
    KEY,
    KUBERNETES_VERSION,
    Helm,
    Object,
    identity,
    one,
    pod_specs,
)


def settings_of(objects: list[Object], folder: Path, name: str = "agentsession-config") -> Settings:
    file = folder / "config.yaml"
    file.write_text(one(objects, "ConfigMap", name)["data"]["config.yaml"])
    return load_settings(file)


def test_lint_finds_nothing(helm: Helm) -> None:
    result = helm.run("lint", "--strict", str(CHART), "--kube-version", KUBERNETES_VERSION)
    assert result.returncode == 0, result.stdout
    assert "[WARNING]" not in result.stdout
    assert "[ERROR]" not in result.stdout


def test_with_defaults_these_objects_are_made(helm: Helm) -> None:
    system = "agentsession-system"
    assert sorted(identity(item) for item in helm.objects(KEY)) == sorted(
        [
            ("AgentSessionTemplate", "agents", "default"),
            ("ClusterRole", "", "agentsession.dev:agentsession-system:agentsession:gateway"),
            ("ClusterRoleBinding", "", "agentsession.dev:agentsession-system:agentsession:gateway"),
            ("ConfigMap", system, "agentsession-config"),
            ("ConfigMap", system, "agentsession-redis"),
            ("Deployment", system, "agentsession-gateway"),
            ("Deployment", system, "agentsession-operator"),
            ("Deployment", system, "agentsession-orchestrator"),
            ("Namespace", "", "agents"),
            ("NetworkPolicy", "agents", "agentsession-internet"),
            ("NetworkPolicy", "agents", "agentsession-sealed"),
            ("NetworkPolicy", system, "agentsession-gateway"),
            ("NetworkPolicy", system, "agentsession-operator"),
            ("NetworkPolicy", system, "agentsession-orchestrator"),
            ("NetworkPolicy", system, "agentsession-redis"),
            ("Role", "agents", "agentsession-gateway"),
            ("PersistentVolumeClaim", system, "agentsession-orchestrator"),
            ("Role", "agents", "agentsession-operator"),
            ("Role", "agents", "agentsession-orchestrator"),
            ("Role", "agents", "agentsession-terminal-user"),
            ("Role", system, "agentsession-terminal-user"),
            ("RoleBinding", "agents", "agentsession-gateway"),
            ("RoleBinding", "agents", "agentsession-operator"),
            ("RoleBinding", "agents", "agentsession-orchestrator"),
            ("Secret", system, "agentsession-model"),
            ("Secret", system, "agentsession-orchestrator"),
            ("Secret", system, "agentsession-redis"),
            ("Service", system, "agentsession-gateway"),
            ("Service", system, "agentsession-orchestrator"),
            ("Service", system, "agentsession-redis"),
            ("ServiceAccount", "agents", RUNNER_SERVICE_ACCOUNT),
            ("ServiceAccount", "agents", CLI_SERVICE_ACCOUNT),
            ("ServiceAccount", system, "agentsession-gateway"),
            ("ServiceAccount", system, "agentsession-operator"),
            ("ServiceAccount", system, "agentsession-orchestrator"),
            ("StatefulSet", system, "agentsession-redis"),
        ]
    )


def test_the_configuration_is_what_the_services_read(helm: Helm, tmp_path: Path) -> None:
    settings = settings_of(helm.objects(KEY), tmp_path)
    assert settings.release == "agentsession"
    assert settings.namespace == "agentsession-system"
    assert settings.session_namespaces == ("agents",)
    assert settings.redis.url == "redis://agentsession-redis:6379/0"
    assert settings.gateway.url == "http://agentsession-gateway.agentsession-system.svc:8080"
    assert settings.gateway.models.anthropic.base_url == "https://api.anthropic.com"
    (agent,) = settings.agent_images.values()
    assert agent.image == "registry.example.com/me/agentsession-agent:src-2"
    idle, run = settings.defaults.idle_policy, settings.defaults.run
    assert idle is not None
    assert run is not None
    assert (idle.suspend_after_seconds, idle.delete_after_seconds) == (300, 86_400)
    assert (run.turn_timeout_seconds, run.active_deadline_seconds) == (1_800, 43_200)
    assert run.max_lifetime_seconds is None
    workspace = settings.defaults.workspace
    assert workspace is not None
    assert workspace.volume_claim_template is not None


def test_every_value_reaches_the_configuration(helm: Helm, tmp_path: Path) -> None:
    price = {"input": "3", "output": "15", "cacheRead": "0.3", "cacheWrite": "3.75"}
    chosen = {
        "logLevel": "DEBUG",
        "sessions": {"namespaces": ["a", "b"]},
        "operator": {"settings": {"workers": 3, "backoffLimitSeconds": 5}},
        "gateway": {
            "models": {"prices": {"a-model": price}, "anthropic": {"baseURL": "http://m:1"}}
        },
        "redis": {"enabled": False, "url": "rediss://redis.example.com:6380/2"},
        "defaults": {"run": {"maxLifetimeSeconds": 31_536_000}},
    }
    settings = settings_of(helm.objects(KEY, chosen), tmp_path)
    assert settings.log_level == "DEBUG"
    assert settings.session_namespaces == ("a", "b")
    assert (settings.operator.workers, settings.operator.backoff_limit_seconds) == (3, 5)
    assert settings.gateway.models.prices["a-model"].cache_write == "3.75"
    assert settings.gateway.models.anthropic.base_url == "http://m:1"
    assert settings.redis.url == "rediss://redis.example.com:6380/2"
    assert settings.defaults.run is not None
    assert settings.defaults.run.max_lifetime_seconds == 31_536_000


def test_the_services_find_the_ports_where_probes_and_services_look(
    helm: Helm, tmp_path: Path
) -> None:
    objects = helm.objects(KEY)
    settings = settings_of(objects, tmp_path)
    for name, ports in (
        ("agentsession-gateway", settings.gateway),
        ("agentsession-operator", settings.operator),
        ("agentsession-orchestrator", settings.orchestrator),
    ):
        (container,) = pod_specs(objects)[name]["containers"]
        named = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert named == {"http": ports.port, "metrics": ports.metrics_port}
        assert container["readinessProbe"]["periodSeconds"] <= 2


def test_without_a_key_the_model_server_answers_and_is_never_sent_a_real_one(
    helm: Helm, tmp_path: Path
) -> None:
    objects = helm.objects(DEVELOPMENT)
    settings = settings_of(objects, tmp_path)
    assert settings.gateway.models.anthropic.base_url == "http://agentsession-model-server:8080"
    secret = one(objects, "Secret", "agentsession-model-server")
    assert len(base64.b64decode(secret["data"]["anthropic-api-key"])) == 40
    gateway = json.dumps(pod_specs(objects)["agentsession-gateway"]["volumes"])
    assert '"agentsession-model-server"' in gateway

    refused = helm.template(IMAGES, KEY, DEVELOPMENT)
    assert refused.returncode != 0
    assert "modelServer.enabled would be sent your model key" in refused.stderr


def test_the_rules_of_the_model_server_are_handed_to_it(helm: Helm) -> None:
    rules = json.dumps({"rules": [{"reply": "hi"}]})
    objects = helm.objects({"modelServer": {"enabled": True, "rules": rules}})
    data = one(objects, "ConfigMap", "agentsession-model-server")["data"]["rules.json"]
    assert json.loads(data) == json.loads(rules)
    (container,) = pod_specs(objects)["agentsession-model-server"]["containers"]
    assert "--rules=/etc/model-server/rules.json" in container["args"]


def test_session_namespaces_are_restricted_and_survive_uninstalling(helm: Helm) -> None:
    objects = helm.objects(KEY, {"sessions": {"namespaces": ["one", "two"]}})
    for name in ("one", "two"):
        metadata = one(objects, "Namespace", name)["metadata"]
        assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"
        for mode in ("enforce", "warn", "audit"):
            assert metadata["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
        accounts = [
            o for o in objects if identity(o) == ("ServiceAccount", name, "agentsession-runner")
        ]
        assert [account["automountServiceAccountToken"] for account in accounts] == [False]


def test_namespaces_of_ones_own_are_left_alone(helm: Helm) -> None:
    objects = helm.objects(KEY, {"sessions": {"createNamespaces": False}})
    assert not [item for item in objects if item["kind"] == "Namespace"]
    assert one(objects, "AgentSessionTemplate", "default")["metadata"]["namespace"] == "agents"


def test_the_default_template_is_the_one_given(helm: Helm) -> None:
    spec = one(helm.objects(KEY), "AgentSessionTemplate", "default")["spec"]
    assert spec == {"network": "Internet"}
    given = {"defaultTemplate": {"models": ["m"], "pod": {"nodeSelector": {"pool": "agents"}}}}
    spec = one(helm.objects(KEY, given), "AgentSessionTemplate", "default")["spec"]
    read = AgentSessionTemplateSpec.model_validate(spec)
    assert read.models == ["m"]
    assert read.pod is not None
    assert read.pod.node_selector == {"pool": "agents"}


def test_releases_do_not_collide(helm: Helm) -> None:
    def names(release: str, namespace: str, sessions: str) -> set[tuple[str, str, str]]:
        layer = {"sessions": {"namespaces": [sessions]}}
        objects = helm.objects(DEVELOPMENT, layer, release=release, namespace=namespace)
        return {identity(item) for item in objects}

    first = names("agentsession", "agentsession-system", "agents")
    assert not first & names("agentsession-test", "agentsession-system", "agents-test")
    assert not first & names("agentsession", "agentsession-system-2", "agents-2")
    assert not names("c", "a-b", "x") & names("b-c", "a", "y")


def test_a_changed_configuration_or_secret_restarts_the_pods(helm: Helm) -> None:
    def annotations(*layers: Object) -> Object:
        fixed = {
            "redis": {"password": "fixed"},
            "orchestrator": {"encryption": {"existingSecret": "fixed"}},
        }
        objects = helm.objects(KEY, fixed, *layers)
        found = one(objects, "Deployment", "agentsession-gateway")
        annotations: Object = found["spec"]["template"]["metadata"]["annotations"]
        return annotations

    before = annotations()
    assert annotations() == before
    config, secrets = "checksum/config", "checksum/secrets"
    assert annotations({"logLevel": "DEBUG"})[config] != before[config]
    other = {"gateway": {"models": {"anthropic": {"apiKey": "sk-other"}}}}
    assert annotations(other)[secrets] != before[secrets]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"gateway": {"replica": 2}}, "'replica' not allowed"),
        ({"gateway": {"replicas": "two"}}, "gateway/replicas"),
        ({"logLevel": "info"}, "logLevel"),
        ({"redis": {"url": "http://redis"}}, "redis/url"),
        ({"sessions": {"namespaces": []}}, "sessions/namespaces"),
        ({"defaults": {"idlePolicy": {"suspendAfter": 3}}}, "'suspendAfter' not allowed"),
        ({"defaultTemplate": {"network": "Everything"}}, "defaultTemplate/network"),
        ({"images": {"agent": {"repository": "a/b:tag"}}}, "images/agent/repository"),
        ({"operator": {"settings": {"workers": 0}}}, "operator/settings/workers"),
        ({"gateway": {"models": {"prices": {"m": {"input": "3"}}}}}, "prices/m"),
        ({"images": {"agent": {"repository": ""}}}, "images.agent.repository is not set"),
        ({"images": {"service": {"repository": ""}}}, "images.service.repository is not set"),
        ({"networkPolicy": {"dns": [{}]}}, "networkPolicy/dns"),
        ({"networkPolicy": {"metricsFrom": [{"podselector": {}}]}}, "'podselector' not allowed"),
        ({"networkPolicy": {"extraDenied": ["192.0.2.1"]}}, "networkPolicy/extraDenied"),
        ({"networkPolicy": {"extraDenied": ["::/0"]}}, "most of the world"),
        ({"redis": {"enabled": False}}, "give the URL of your Redis"),
        ({"redis": {"url": "redis://x:1"}}, "set redis.enabled=false"),
        ({"sessions": {"namespaces": ["agentsession-system"]}}, "the release's own namespace"),
        (
            {"gateway": {"models": {"anthropic": {"existingSecret": "s"}}}},
            "only one of gateway.models.anthropic",
        ),
    ],
)
def test_wrong_values_are_refused_with_a_message(helm: Helm, layer: Object, message: str) -> None:
    result = helm.template(IMAGES, KEY, layer)
    assert result.returncode != 0
    assert message in result.stderr
