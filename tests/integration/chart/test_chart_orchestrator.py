"""The orchestrator's API in the chart: on SQLite or PostgreSQL, with no right that it does not need."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from agentsession_core.settings import DATABASE_PASSWORD, ENCRYPTION_KEY, load_settings
from agentsession_testing.chart import IMAGES, KEY, Helm, Object
from orchestrator_api.__main__ import parse_arguments
from orchestrator_api.database import database_url
from orchestrator_api.sealing import Sealer
from workbench.demo import at_this_machine
from workbench.settings import Names

URL = "postgresql://orchestrator@db.example.com:5433/orchestrator"
PASSWORD = "a-password-of-this-test"
POSTGRESQL: Object = {"orchestrator": {"database": {"url": URL, "password": PASSWORD}}}
NONE: Object = {"orchestrator": {"enabled": False}}


def named(objects: list[Object], kind: str, name: str = "agentsession-orchestrator") -> Object:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


def pod(item: Object) -> Object:
    spec: Object = item["spec"]["template"]["spec"]
    return spec


def text_of(config: Object) -> str:
    return str(config["data"]["config.yaml"])


def test_there_is_none_where_it_is_not_wanted(helm: Helm) -> None:
    objects = helm.objects(KEY, NONE)
    own = named(objects, "ConfigMap", "agentsession-config")
    assert "orchestrator: {}" in text_of(own)
    assert "orchestrator" not in json.dumps([item for item in objects if item is not own])
    assert helm.hooks(KEY, POSTGRESQL, NONE) == []


def test_run_pods_are_told_where_it_is(helm: Helm, tmp_path: Path) -> None:
    objects = helm.objects(KEY)
    file = tmp_path / "config.yaml"
    file.write_text(text_of(named(objects, "ConfigMap", "agentsession-config")))
    service = named(objects, "Service")["metadata"]
    expected = f"http://{service['name']}.{service['namespace']}.svc:8080"
    assert load_settings(file).orchestrator.url == expected
    file.write_text(text_of(named(helm.objects(KEY, NONE), "ConfigMap", "agentsession-config")))
    assert load_settings(file).orchestrator.url == ""


def test_every_value_reaches_the_configuration(helm: Helm, tmp_path: Path) -> None:
    chosen = {
        "approvals": "All",
        "database": {"url": URL, "connections": 3},
        "retentionDays": {"tasks": 1, "audit": 0},
        "rateLimit": {"requestsPerMinute": 1_000_000, "burst": 3},
    }
    file = tmp_path / "config.yaml"
    objects = helm.objects(KEY, {"orchestrator": chosen})
    file.write_text(text_of(named(objects, "ConfigMap", "agentsession-config")))
    settings = load_settings(file).orchestrator
    assert settings.approvals == "All"
    assert (settings.database.url, settings.database.connections) == (URL, 3)
    kept = settings.retention_days
    assert (kept.tasks, kept.incidents, kept.audit) == (1, 180, 0)
    assert settings.rate_limit.model_dump() == {"requests_per_minute": 1_000_000, "burst": 3}


def test_sqlite_is_on_a_volume_that_one_process_writes(helm: Helm, tmp_path: Path) -> None:
    objects = helm.objects(KEY, {"orchestrator": {"storage": {"storageClassName": "fast"}}})
    claim, deployment = named(objects, "PersistentVolumeClaim"), named(objects, "Deployment")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["storageClassName"] == "fast"
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (data,) = [volume for volume in pod(deployment)["volumes"] if volume["name"] == "data"]
    assert data["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    file = tmp_path / "config.yaml"
    file.write_text(text_of(named(objects, "ConfigMap", "agentsession-config")))
    database = Path(database_url(load_settings(file).orchestrator.database, None).database or "")
    for container in (*pod(deployment)["initContainers"], *pod(deployment)["containers"]):
        places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert places["data"] == str(database.parent)
    assert helm.hooks(KEY) == [], "before an installation there is no volume to migrate on"


def test_every_command_is_one_of_the_program(helm: Helm) -> None:
    sqlite = pod(named(helm.objects(KEY), "Deployment"))
    migration = pod(
        named(helm.hooks(KEY, POSTGRESQL), "Job", "agentsession-orchestrator-migration")
    )
    commands = {
        "serve": sqlite["containers"][0],
        "migrate": sqlite["initContainers"][0],
    }
    for command, container in (*commands.items(), ("migrate", migration["containers"][0])):
        assert container["command"] == ["orchestrator-api"]
        assert parse_arguments(container["args"]).command == command


def test_postgresql_is_migrated_before_anything_else(helm: Helm, tmp_path: Path) -> None:
    objects = helm.objects(KEY, POSTGRESQL, {"orchestrator": {"replicas": 2}})
    deployment = named(objects, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "initContainers" not in pod(deployment)
    assert not [item for item in objects if item["kind"] == "PersistentVolumeClaim"]

    *needed, job = helm.hooks(KEY, POSTGRESQL)
    assert sorted(item["kind"] for item in needed) == ["ConfigMap", "Secret"]
    assert job["kind"] == "Job"
    assert {item["metadata"]["annotations"]["helm.sh/hook"] for item in (*needed, job)} == {
        "pre-install,pre-upgrade"
    }
    # All that it names is made before it: of the release there may be nothing yet.
    volumes = json.dumps(pod(job)["volumes"])
    made = {item["metadata"]["name"] for item in needed}
    assert made == {"agentsession-orchestrator-migration"}
    assert volumes.count("agentsession-orchestrator-migration") == 2
    file = tmp_path / "config.yaml"
    file.write_text(text_of(named(needed, "ConfigMap", "agentsession-orchestrator-migration")))
    assert load_settings(file).orchestrator.database.url == URL
    assert pod(job)["automountServiceAccountToken"] is False


def test_the_databases_password_is_in_secrets_alone(helm: Helm) -> None:
    everything = [*helm.objects(KEY, POSTGRESQL), *helm.hooks(KEY, POSTGRESQL)]
    assert PASSWORD not in yaml.safe_dump([o for o in everything if o["kind"] != "Secret"])
    holders = [o for o in everything if o["kind"] == "Secret" and DATABASE_PASSWORD in o["data"]]
    assert {base64.b64decode(o["data"][DATABASE_PASSWORD]).decode() for o in holders} == {PASSWORD}
    own: Object = {"orchestrator": {"database": {"url": URL, "existingSecret": "mine"}}}
    everything = [*helm.objects(KEY, own), *helm.hooks(KEY, own)]
    assert not [o for o in everything if o["kind"] == "Secret" and DATABASE_PASSWORD in o["data"]]
    users = [
        o for o in everything if o["kind"] in {"Deployment", "Job"} if '"mine"' in json.dumps(o)
    ]
    assert [o["kind"] for o in users] == ["Deployment", "Job"]


def test_the_key_is_one_that_seals_and_outlives_the_release(helm: Helm) -> None:
    secret = named(helm.objects(KEY), "Secret")
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    key = base64.b64decode(secret["data"][ENCRYPTION_KEY]).decode()
    sealer = Sealer(SecretStr(key))
    assert sealer.open(sealer.seal("value", "place"), "place") == "value"
    other = base64.b64decode(named(helm.objects(KEY), "Secret")["data"][ENCRYPTION_KEY]).decode()
    assert key != other


def test_only_the_orchestrator_gets_the_key(helm: Helm) -> None:
    holders = [
        item["metadata"]["name"]
        for item in helm.objects(KEY)
        if item["kind"] in {"Deployment", "StatefulSet"} and ENCRYPTION_KEY in json.dumps(item)
    ]
    assert holders == ["agentsession-orchestrator"]


def test_it_may_see_whose_run_a_pod_is_and_nothing_else(helm: Helm) -> None:
    objects = helm.objects(KEY)
    rules = [
        (group, resource, verb)
        for rule in named(objects, "Role")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(rules) == [
        ("", "pods", "get"),
        ("agentsession.dev", "agentsessions", "get"),
        ("agentsession.dev", "agentsessiontemplates", "get"),
        ("batch", "jobs", "get"),
    ]
    (binding,) = [one for one in objects if one["kind"] == "ClusterRoleBinding"]
    assert [one["name"] for one in binding["subjects"]] == [
        "agentsession-gateway",
        "agentsession-orchestrator",
    ]


def test_run_pods_reach_it_and_it_reaches_what_it_works_with(helm: Helm) -> None:
    ingress = [{"podSelector": {"matchLabels": {"app": "ingress"}}}]
    policy: Object = {"networkPolicy": {"orchestratorFrom": ingress}}
    spec = named(helm.objects(KEY, policy), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "agents"}}
    assert spec["ingress"] == [
        {
            "from": [{"namespaceSelector": namespace}, *ingress],
            "ports": [{"protocol": "TCP", "port": 8080}],
        }
    ]
    assert ports(spec) == [[53, 53], [6379], [443, 6443]]
    assert "to" in spec["egress"][1], "the release's own Redis and no other"
    elsewhere: Object = {"redis": {"enabled": False, "url": "rediss://redis.example.com/0"}}
    spec = named(helm.objects(KEY, POSTGRESQL, elsewhere), "NetworkPolicy")["spec"]
    assert ports(spec) == [[53, 53], [6379], [443, 6443], [5433]]


def ports(spec: Object) -> list[list[int]]:
    return [[port["port"] for port in rule["ports"]] for rule in spec["egress"]]


def test_make_demo_says_how_to_reach_it(helm: Helm) -> None:
    names = Names("mine", "system", "agents")
    said = at_this_machine(names, Path("/build/token"), 8090)
    [service] = re.findall(r"svc/(\S+) (?:\d+):(\d+)", said)
    [(deployment, container, words)] = re.findall(
        r"deploy/(\S+) -c (\S+) -- \\\n\s+orchestrator-api (.*?) >", said, re.DOTALL
    )
    assert parse_arguments(words.replace("\\\n", " ").split()).command == "create-token"
    objects = helm.objects(KEY, release=names.release, namespace=names.namespace)
    ports = named(objects, "Service", service[0])["spec"]["ports"]
    assert [str(port["port"]) for port in ports] == [service[1]]
    (running,) = pod(named(objects, "Deployment", deployment))["containers"]
    assert running["name"] == container
    assert f"-n {names.namespace} deploy/" in said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 2}, "SQLite takes one process"),
        ({"approvals": "None"}, "orchestrator/approvals"),
        ({"database": {"url": "postgresql://u:p@h/d"}}, "orchestrator/database/url"),
        ({"database": {"url": "mysql://u@h/d"}}, "orchestrator/database/url"),
        ({"database": {"password": "p"}}, "has a password and no url"),
        (
            {"database": {"url": URL, "password": "p", "existingSecret": "s"}},
            "only one of orchestrator.database.password",
        ),
        ({"database": {"connections": 0}}, "orchestrator/database/connections"),
        ({"retentionDays": {"tasks": 366}}, "retentionDays.audit is 365 and .tasks is 366"),
        ({"retentionDays": {"incidents": 0}}, "retentionDays.audit is 365 and .incidents is 0"),
    ],
)
def test_wrong_values_are_refused_with_a_message(helm: Helm, values: Object, message: str) -> None:
    result = helm.template(IMAGES, KEY, {"orchestrator": values})
    assert result.returncode != 0
    assert message in result.stderr
