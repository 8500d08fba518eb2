"""Effective settings and skills as the gateway reads them."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.api import AgentSession, AgentType, Network
from agentsession_core.cluster import Resource
from agentsession_core.problems import ProblemError
from agentsession_core.settings import Settings
from agentsession_gateway.sessions import ClusterSessionReader
from agentsession_testing.clock import Clock
from agentsession_testing.fake_cluster import FakeCluster
from agentsession_testing.skill_texts import skill


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def reader(cluster: FakeCluster, clock: Clock) -> ClusterSessionReader:
    settings = Settings.model_validate(
        {"defaults": {"models": ["chart-model"], "run": {"turnTimeoutSeconds": 7}}}
    )
    return ClusterSessionReader(cluster, settings, clock)


def session(spec: dict[str, Any] | None = None, **status: Any) -> AgentSession:
    return AgentSession.from_api(
        {
            "metadata": {"name": "ada", "namespace": "agents", "uid": "s-uid"},
            "spec": {"user": {"id": "42"}, **(spec or {})},
            "status": status,
        }
    )


def template(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "t"}, "spec": spec}


async def test_without_any_template(reader: ClusterSessionReader) -> None:
    effective = await reader.effective(session())
    assert (effective.agent_type, effective.models, effective.turn_timeout) == (
        AgentType.CLAUDE_CODE,
        ("chart-model",),
        7,
    )


async def test_default_template_of_the_namespace(
    reader: ClusterSessionReader, cluster: FakeCluster
) -> None:
    cluster.put(Resource.TEMPLATE, "default", template(network="Internet", models=["m"]))
    effective = await reader.effective(session())
    assert (effective.network, effective.models) == (Network.INTERNET, ("m",))


async def test_named_template(reader: ClusterSessionReader, cluster: FakeCluster) -> None:
    cluster.put(Resource.TEMPLATE, "default", template(models=["default"]))
    cluster.put(Resource.TEMPLATE, "mine", template(models=["mine"]))
    effective = await reader.effective(session({"templateRef": {"name": "mine"}}))
    assert effective.models == ("mine",)


async def test_a_missing_named_template_is_not_replaced_by_the_default_one(
    reader: ClusterSessionReader, cluster: FakeCluster
) -> None:
    cluster.put(Resource.TEMPLATE, "default", template(models=["default"]))
    effective = await reader.effective(session({"templateRef": {"name": "gone"}}))
    assert effective.models == ("chart-model",)


async def test_an_unreadable_template_is_no_reason_to_lift_its_limits(
    reader: ClusterSessionReader, cluster: FakeCluster
) -> None:
    cluster.put(Resource.TEMPLATE, "default", template(network="Sometimes"))
    with pytest.raises(ProblemError) as error:
        await reader.effective(session())
    assert (error.value.status, error.value.code) == (503, "template_unreadable")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"runs": 1, "effective": {"agentType": "claude-code"}}, AgentType.CLAUDE_CODE),
        ({"runs": 0, "effective": {"agentType": "claude-code"}}, AgentType.CODEX),
        ({}, AgentType.CODEX),
    ],
)
async def test_the_first_runs_type_is_pinned(
    reader: ClusterSessionReader,
    cluster: FakeCluster,
    status: dict[str, Any],
    expected: AgentType,
) -> None:
    cluster.put(Resource.TEMPLATE, "default", template(agent={"type": "codex"}))
    assert (await reader.effective(session(**status))).agent_type is expected


async def test_kept_for_half_a_minute_unless_fresh(
    reader: ClusterSessionReader, cluster: FakeCluster, clock: Clock
) -> None:
    await reader.effective(session())
    clock.now = 29.9
    await reader.effective(session())
    assert len(cluster.calls) == 1
    await reader.effective(session(), fresh=True)
    assert len(cluster.calls) == 2
    clock.now = 59.8
    await reader.effective(session())
    assert len(cluster.calls) == 2
    clock.now = 60
    await reader.effective(session())
    assert len(cluster.calls) == 3


async def test_skills(reader: ClusterSessionReader, cluster: FakeCluster) -> None:
    cluster.put(Resource.CONFIG_MAP, "one", {"data": {"pay.md": skill("pay"), "Pay.md": "x"}})
    given = await reader.skills("agents", ("one", "gone"))
    assert [skill.name for skill in given.skills] == ["pay"]
    assert [problem.partition(":")[0] for problem in given.problems] == [
        "key Pay.md of ConfigMap one is left out",
        "there is no ConfigMap gone",
    ]
