"""Whole objects against files that a person has read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentsession_core.api import AgentSession, AgentSessionTemplateSpec, AgentType
from agentsession_core.effective import Effective, merge
from agentsession_operator.builders.claim import build_claim
from agentsession_operator.builders.job import build_job, config_hash
from agentsession_testing.golden import assert_golden
from agentsession_testing.operator_worlds import IMAGES, SERVICES, make_session

TEMPLATE = AgentSessionTemplateSpec.model_validate(
    {
        "agent": {"type": "claude-code", "model": "claude-opus-5-5"},
        "imagePullPolicy": "Always",
        "workspace": {
            "volumeClaimTemplate": {
                "spec": {
                    "storageClassName": "fast",
                    "resources": {"requests": {"storage": "20Gi"}},
                }
            },
            "retentionPolicy": {"whenDeleted": "Retain"},
        },
        "pod": {
            "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
            "env": [{"name": "TEAM", "value": "blue"}, {"name": "LANG", "value": "C.UTF-8"}],
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"pool": "agents"},
            "tolerations": [{"key": "agents", "operator": "Exists", "effect": "NoSchedule"}],
            "runtimeClassName": "gvisor",
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        },
    }
)


def effective(session: AgentSession, template: AgentSessionTemplateSpec | None = None) -> Effective:
    return merge(session.spec, template, AgentSessionTemplateSpec(), IMAGES)


def test_smallest_job(request: pytest.FixtureRequest) -> None:
    session = make_session()
    assert_golden(
        request, "operator/job-smallest.yaml", build_job(session, effective(session), 1, SERVICES)
    )


def test_job_with_everything_a_template_can_say(request: pytest.FixtureRequest) -> None:
    session = make_session(pod={"env": [{"name": "TEAM", "value": "red"}]})
    assert_golden(
        request,
        "operator/job-full.yaml",
        build_job(session, effective(session, TEMPLATE), 12, SERVICES),
    )


def test_job_where_there_is_an_orchestrator(request: pytest.FixtureRequest) -> None:
    session = make_session(pod={"env": [{"name": "ORCHESTRATOR_USER_ID", "value": "43"}]})
    url = "http://agentsession-orchestrator.agentsession-system:8080"
    services = replace(SERVICES, orchestrator=url)
    job = build_job(session, effective(session), 1, services)
    assert_golden(request, "operator/job-orchestrator.yaml", job)
    assert config_hash(effective(session), services) != config_hash(effective(session), SERVICES)


@pytest.mark.parametrize("network", ["None", "Internet"])
def test_the_pod_says_which_network_it_gets_and_its_job_does_not(network: str) -> None:
    session = make_session()
    template = AgentSessionTemplateSpec.model_validate({"network": network})
    job = build_job(session, effective(session, template), 1, SERVICES)
    assert job["spec"]["template"]["metadata"]["labels"]["agentsession.dev/network"] == network
    assert "agentsession.dev/network" not in job["metadata"]["labels"]


def test_without_a_word_about_the_network_there_is_none() -> None:
    session = make_session()
    job = build_job(session, effective(session), 1, SERVICES)
    assert job["spec"]["template"]["metadata"]["labels"]["agentsession.dev/network"] == "None"


def test_smallest_claim(request: pytest.FixtureRequest) -> None:
    session = make_session()
    assert_golden(request, "operator/claim-smallest.yaml", build_claim(session, effective(session)))


def test_retained_claim_has_no_owner(request: pytest.FixtureRequest) -> None:
    session = make_session()
    assert_golden(
        request, "operator/claim-retained.yaml", build_claim(session, effective(session, TEMPLATE))
    )


def test_unknown_image_is_an_error() -> None:
    session = make_session(agent={"type": "codex"})
    with pytest.raises(ValueError, match="codex"):
        build_job(session, effective(session), 1, SERVICES)


def test_config_hash_follows_what_a_run_would_be() -> None:
    plain = make_session()
    same = make_session(prompt="another", idlePolicy={"suspendAfterSeconds": 1})
    other = make_session(pod={"env": [{"name": "A", "value": "b"}]})
    hashes = [config_hash(effective(session), SERVICES) for session in (plain, same, other)]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
    images = dict(IMAGES)
    images[AgentType.CLAUDE_CODE] = images[AgentType.CLAUDE_CODE].model_copy(
        update={"image": "localhost/agent:2"}
    )
    newer = merge(plain.spec, None, AgentSessionTemplateSpec(), images)
    assert config_hash(newer, SERVICES) != hashes[0]
