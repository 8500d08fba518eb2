"""The bridge in the chart: there only with a bot, and with no right that it does not need."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from agentsession_bridge.access import read_access
from agentsession_core import naming
from agentsession_core.settings import load_settings
from agentsession_testing.chart import IMAGES, KEY, Helm, Object
from workbench.install import telegram_values
from workbench.settings import load_settings as workbench_settings

TOKEN = "4200:a-token-of-this-test"
BOT: Object = {"bridge": {"telegram": {"token": TOKEN}}}
STAND_IN: Object = {"modelServer": {"enabled": True}, "telegramServer": {"enabled": True}}


def named(objects: list[Object], kind: str, part: str) -> list[Object]:
    return [
        item
        for item in objects
        if item["kind"] == kind and item["metadata"]["name"] == f"agentsession-{part}"
    ]


def test_without_a_token_there_is_no_bridge(helm: Helm) -> None:
    objects = helm.objects(KEY)
    assert [o for o in objects if o["metadata"]["name"].endswith(("-bridge", "-telegram"))] == []


def test_with_a_token_there_is_one_that_talks_to_telegram(helm: Helm, tmp_path: Path) -> None:
    objects = helm.objects(KEY, BOT)
    (deployment,) = named(objects, "Deployment", "bridge")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (
        1,
        {"type": "Recreate"},
    )
    (secret,) = named(objects, "Secret", "telegram")
    assert base64.b64decode(secret["data"]["telegram-token"]).decode() == TOKEN
    (config,) = named(objects, "ConfigMap", "config")
    file = tmp_path / "config.yaml"
    file.write_text(config["data"]["config.yaml"])
    assert load_settings(file).bridge.telegram.api_url == "https://api.telegram.org"
    assert TOKEN not in yaml.safe_dump([o for o in objects if o["kind"] != "Secret"])


def test_make_demo_s_values_with_a_token_bring_the_bridge_and_no_stand_in(helm: Helm) -> None:
    settings = workbench_settings({"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_USERS": "7"}, Path("/clone"))
    objects = helm.objects(KEY, telegram_values(settings))
    assert not [o for o in objects if o["metadata"]["name"].endswith("telegram-server")]
    assert [
        o
        for o in objects
        if o["kind"] == "Deployment" and o["metadata"]["name"].endswith("-bridge")
    ]


def test_it_may_find_make_and_wake_sessions_and_nothing_else(helm: Helm) -> None:
    roles = {
        role["metadata"]["namespace"]: role["rules"]
        for role in named(helm.objects(KEY, BOT), "Role", "bridge")
    }
    pairing = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["agentsession-pairing"],
        "verbs": ["get", "list", "watch", "patch"],
    }
    assert roles.pop("agentsession-system") == [pairing]
    assert list(roles) == ["agents"]
    assert roles["agents"] == [
        {
            "apiGroups": ["agentsession.dev"],
            "resources": ["agentsessions"],
            "verbs": ["list", "watch", "create", "patch"],
        }
    ]


def test_files_come_with_a_token_that_is_good_for_nothing_else(helm: Helm, tmp_path: Path) -> None:
    objects = helm.objects(KEY, BOT)
    (gateway,) = named(objects, "Deployment", "gateway")
    pod = gateway["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "bridge-token"]
    [source] = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == naming.AUDIENCE_BRIDGE
    (mount,) = [
        one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "bridge-token"
    ]
    assert f"{mount['mountPath']}/token" == naming.BRIDGE_TOKEN_FILE
    (config,) = named(objects, "ConfigMap", "config")
    file = tmp_path / "config.yaml"
    file.write_text(config["data"]["config.yaml"])
    settings = load_settings(file)
    assert settings.gateway.service_account == pod["serviceAccountName"]
    (service,) = named(objects, "Service", "bridge")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    assert settings.bridge.url == f"http://{name}.{namespace}.svc:8080"
    (binding,) = [one for one in objects if one["kind"] == "ClusterRoleBinding"]
    assert [one["name"] for one in binding["subjects"]] == [
        "agentsession-gateway",
        "agentsession-bridge",
        "agentsession-orchestrator",
    ]
    (alone,) = [one for one in helm.objects(KEY) if one["kind"] == "ClusterRoleBinding"]
    assert "agentsession-bridge" not in [one["name"] for one in alone["subjects"]]


def test_nobody_is_let_in_unless_the_values_say_so(helm: Helm) -> None:
    (empty,) = named(helm.objects(KEY, BOT), "ConfigMap", "access")
    found = read_access(empty["data"]["access.yaml"])
    assert (found.allowed_users, found.allowed_groups) == (frozenset(), frozenset())
    people = {"bridge": {"allowedUsers": [7, 6_123_456_789], "allowedGroups": [-1_001_234_567_890]}}
    (some,) = named(helm.objects(KEY, BOT, people), "ConfigMap", "access")
    found = read_access(some["data"]["access.yaml"])
    assert found.allowed_users == {7, 6_123_456_789}
    assert found.allowed_groups == {-1_001_234_567_890}


def test_the_stand_in_is_for_the_bridge_and_is_never_sent_a_real_token(helm: Helm) -> None:
    objects = helm.objects(STAND_IN)
    (policy,) = named(objects, "NetworkPolicy", "telegram-server")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "bridge"
    assert named(objects, "Deployment", "telegram-server")
    refused = helm.template(IMAGES, STAND_IN, BOT)
    assert refused.returncode != 0
    assert "telegramServer.enabled would be sent your bot's token" in refused.stderr


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"bridge": {"allowedUsers": ["ada"]}}, "allowedUsers"),
        ({"bridge": {"allowedUsers": [-5]}}, "allowedUsers"),
        ({"bridge": {"allowedGroups": [5]}}, "allowedGroups"),
        ({"bridge": {"telegram": {"token": "no token"}}}, "token"),
    ],
)
def test_wrong_values_are_refused(helm: Helm, values: Object, field: str) -> None:
    refused = helm.template(IMAGES, KEY, values)
    assert refused.returncode != 0
    assert field in refused.stderr


def egress(helm: Helm, *values: Object) -> list[Object]:
    """What the bridge reaches besides the cluster's DNS."""
    (policy,) = named(helm.objects(*values), "NetworkPolicy", "bridge")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    rules: list[Object]
    dns, *rules = policy["spec"]["egress"]
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    assert all(rule["ports"] for rule in rules), "no rule without a port"
    return rules


def components(rule: Object) -> list[str]:
    return [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in rule["to"]
    ]


def ports(rule: Object) -> list[int]:
    return [port["port"] for port in rule["ports"]]


def test_the_bridge_reaches_redis_the_api_server_and_telegram(helm: Helm) -> None:
    node = [{"ipBlock": {"cidr": "192.0.2.10/32"}}]
    api_server: Object = {"networkPolicy": {"apiServer": {"to": node, "ports": [16443]}}}
    redis, api, telegram = egress(helm, KEY, BOT, api_server)
    assert (components(redis), ports(redis)) == (["redis"], [6379])
    assert (api["to"], ports(api)) == (node, [16443])
    assert ports(telegram) == [443]
    public, _ = telegram["to"]
    assert public["ipBlock"]["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(public["ipBlock"]["except"])


def test_with_the_stand_in_the_bridge_does_not_reach_the_world(helm: Helm) -> None:
    _, api, telegram = egress(helm, STAND_IN)
    assert (components(telegram), ports(telegram)) == (["telegram-server"], [8081])
    # Nobody has said where the API server is: then it is anywhere.
    assert "to" not in api
    assert ports(api) == [443, 6443]


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://bots.example.com", 80), ("https://[2001:db8::1]", 443), ("http://bots:8081", 8081)],
)
def test_parts_of_one_s_own_are_reached_on_their_port(helm: Helm, url: str, port: int) -> None:
    own: Object = {"bridge": {"telegram": {"apiURL": url}}}
    redis_url: Object = {"redis": {"enabled": False, "url": "rediss://redis.example.com/0"}}
    redis, _, telegram = egress(helm, KEY, BOT, own, redis_url)
    assert (list(redis), ports(redis)) == (["ports"], [6379])
    assert (list(telegram), ports(telegram)) == (["ports"], [port])


def test_stand_ins_have_an_image_of_their_own(helm: Helm) -> None:
    objects = helm.objects(STAND_IN)
    images = {
        item["metadata"]["name"].removeprefix("agentsession-"): container["image"]
        for item in objects
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    development = "registry.example.com/me/agentsession-development:src-3"
    equipped = {name for name, image in images.items() if image == development}
    assert equipped == {"model-server", "telegram-server"}
    unset: Object = {"images": {"development": {"repository": ""}}}
    assert helm.template(IMAGES, KEY, BOT, unset).returncode == 0
    refused = helm.template(IMAGES, STAND_IN, unset)
    assert "images.development.repository is not set" in refused.stderr


def test_the_bridge_reaches_redis_and_the_gateway_alone_reaches_the_bridge(helm: Helm) -> None:
    objects = helm.objects(KEY, BOT)
    (own,) = named(objects, "NetworkPolicy", "bridge")
    [rule] = own["spec"]["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert rule["ports"] == [{"protocol": "TCP", "port": 8080}]
    (redis,) = named(objects, "NetworkPolicy", "redis")
    parts = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for peer in redis["spec"]["ingress"][0]["from"]
    ]
    assert parts == ["operator", "gateway", "bridge", "orchestrator"]


def test_who_is_let_in_by_a_code_stands_in_no_value(helm: Helm) -> None:
    objects = helm.objects(KEY, BOT)
    (pairing,) = named(objects, "ConfigMap", "pairing")
    assert "data" not in pairing
    assert named(objects, "RoleBinding", "approver") == []
    group = {"kind": "Group", "name": "leads", "apiGroup": "rbac.authorization.k8s.io"}
    values = {"bridge": {"pairing": {"approvers": [group]}}}
    (binding,) = named(helm.objects(KEY, BOT, values), "RoleBinding", "approver")
    assert binding["subjects"] == [group]
    without = helm.objects(KEY, BOT, {"bridge": {"pairing": {"enabled": False}}})
    assert named(without, "ConfigMap", "pairing") + named(without, "Role", "approver") == []
    assert [role["metadata"]["namespace"] for role in named(without, "Role", "bridge")] == [
        "agents"
    ]


def test_a_webhook_has_a_secret_and_a_way_in(helm: Helm, tmp_path: Path) -> None:
    hook = {"bridge": {"telegram": {"webhookURL": "https://bot.example.com/telegram"}}}
    ingress = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]
    way_in = {"networkPolicy": {"webhookFrom": ingress}}
    objects = helm.objects(KEY, BOT, hook, way_in)
    (secret,) = named(objects, "Secret", "telegram")
    assert len(base64.b64decode(secret["data"]["telegram-webhook-secret"])) >= 32
    (policy,) = named(objects, "NetworkPolicy", "bridge")
    gateway, brought = policy["spec"]["ingress"]
    assert components({"to": gateway["from"]}) == ["gateway"]
    assert brought == {"from": ingress, "ports": [{"protocol": "TCP", "port": 8080}]}
    (config,) = named(objects, "ConfigMap", "config")
    file = tmp_path / "config.yaml"
    file.write_text(config["data"]["config.yaml"])
    assert load_settings(file).bridge.telegram.webhook_url == "https://bot.example.com/telegram"


def test_a_webhook_that_nobody_may_call_is_refused_and_without_one_nobody_may(helm: Helm) -> None:
    hook = {"bridge": {"telegram": {"webhookURL": "https://bot.example.com/telegram"}}}
    refused = helm.template(IMAGES, KEY, BOT, hook)
    assert refused.returncode != 0
    assert "networkPolicy.webhookFrom is empty" in refused.stderr
    assert (
        helm.template(IMAGES, KEY, BOT, hook, {"networkPolicy": {"enabled": False}}).returncode == 0
    )
    way_in: Object = {"networkPolicy": {"webhookFrom": [{"podSelector": {}}]}}
    (policy,) = named(helm.objects(KEY, BOT, way_in), "NetworkPolicy", "bridge")
    assert len(policy["spec"]["ingress"]) == 1


def test_limits_and_routes_reach_the_bridge(helm: Helm, tmp_path: Path) -> None:
    values = {
        "bridge": {
            "limits": {"messagesPerHour": 7},
            "routing": {"cliAgentPercent": 5, "otherTemplate": "legacy", "cliAgentUsers": ["42"]},
        }
    }
    (config,) = named(helm.objects(KEY, BOT, values), "ConfigMap", "config")
    file = tmp_path / "config.yaml"
    file.write_text(config["data"]["config.yaml"])
    bridge = load_settings(file).bridge
    assert (bridge.limits.messages_per_hour, bridge.limits.waiting_messages) == (7, 20)
    assert (bridge.routing.cli_agent_percent, bridge.routing.other_template) == (5, "legacy")
    assert bridge.routing.cli_agent_users == {"42"}
    refused = helm.template(IMAGES, KEY, {"bridge": {"routing": {"useCLIAgent": False}}})
    assert "bridge.routing.otherTemplate is empty" in refused.stderr
