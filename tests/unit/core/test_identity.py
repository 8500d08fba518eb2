"""Token → pod → Job → AgentSession."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from agentsession_core import naming
from agentsession_core.caller import Caller, bearer_token, controller_of, pod_of_review
from agentsession_core.cluster import ClusterUnavailableError, Resource
from agentsession_core.identity import TokenIdentity
from agentsession_core.problems import ProblemError
from agentsession_core.reviewer import REVIEWS_AT_ONCE, REVIEWS_AT_ONCE_PER_ADDRESS
from agentsession_testing.clock import Clock
from agentsession_testing.fake_cluster import FakeCluster, owned, review

TOKEN = "the-token"
POD = "ada-r3-abcde"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_session("ada", "s-uid", {"user": {"id": "42"}, "mailbox": "g1.t2"})
    cluster.add_run("ada", "s-uid", 3, TOKEN)
    return cluster


@pytest.fixture
def identity(cluster: FakeCluster, clock: Clock) -> TokenIdentity:
    return TokenIdentity(cluster, naming.AUDIENCE_GATEWAY, ("agents",), clock)


async def refused(identity: TokenIdentity, token: str = TOKEN) -> tuple[int, str]:
    with pytest.raises(ProblemError) as error:
        await identity.recognise(token)
    assert token not in str(error.value)
    return error.value.status, error.value.code


async def test_a_runs_pod(identity: TokenIdentity) -> None:
    recognised = await identity.recognise(TOKEN)
    assert recognised.caller == Caller(
        namespace="agents",
        session="ada",
        session_uid="s-uid",
        user="42",
        mailbox="g1.t2",
        run="s-uid/3",
        pod=POD,
        pod_uid=f"{POD}-uid",
    )
    assert recognised.session.spec.user.id == "42"


async def test_mailbox_is_the_users_unless_named(
    identity: TokenIdentity, cluster: FakeCluster
) -> None:
    cluster.add_session("ada", "s-uid", {"user": {"id": "42"}})
    assert (await identity.recognise(TOKEN)).caller.mailbox == "42"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, (401, "token_invalid")),
        ({"authenticated": False}, (401, "token_invalid")),
        ({"authenticated": "true"}, (401, "token_invalid")),
        ({**review("p", "u"), "audiences": None}, (401, "audience_missing")),
        (review("p", "u", audience="orchestrator-api"), (401, "audience_missing")),
        ({**review("p", "u"), "user": {"username": "admin"}}, (403, "not_a_pod")),
        (review("p", "u", namespace="kube-system"), (403, "not_a_run")),
    ],
)
def test_reviews_that_are_refused(status: Mapping[str, Any], expected: tuple[int, str]) -> None:
    with pytest.raises(ProblemError) as error:
        pod_of_review(status, naming.AUDIENCE_GATEWAY, {"agents"})
    assert (error.value.status, error.value.code) == expected


def test_a_token_that_is_not_bound_to_a_pod() -> None:
    status = review("p", "u")
    status["user"]["extra"] = {}
    with pytest.raises(ProblemError) as error:
        pod_of_review(status, naming.AUDIENCE_GATEWAY, {"agents"})
    assert error.value.code == "not_a_pod"


async def test_the_review_names_the_audience(identity: TokenIdentity, cluster: FakeCluster) -> None:
    await identity.recognise(TOKEN)
    assert cluster.calls[0] == "review agentsession-gateway"


async def test_unknown_token(identity: TokenIdentity) -> None:
    assert await refused(identity, "forged") == (401, "token_invalid")


def pod(**change: Any) -> dict[str, Any]:
    base = {
        "api_version": "batch/v1",
        "kind": "Job",
        "owner": "ada-r3",
        "owner_uid": "ada-r3-uid",
    }
    return owned(POD, change.pop("uid", f"{POD}-uid"), **{**base, **change})


def job(name: str = "ada-r3", **change: Any) -> dict[str, Any]:
    base = {
        "api_version": naming.API_VERSION,
        "kind": naming.SESSION_KIND,
        "owner": "ada",
        "owner_uid": "s-uid",
    }
    return owned(name, change.pop("uid", f"{name}-uid"), **{**base, **change})


@pytest.mark.parametrize(
    ("resource", "name", "body", "code"),
    [
        (Resource.POD, POD, None, "pod_gone"),
        (Resource.POD, POD, pod(uid="another"), "pod_gone"),
        (Resource.POD, POD, {"metadata": {"uid": f"{POD}-uid"}}, "not_a_run"),
        (Resource.POD, POD, pod(kind="ReplicaSet", api_version="apps/v1"), "not_a_run"),
        (Resource.POD, POD, pod(api_version="example.com/v1"), "not_a_run"),
        (Resource.POD, POD, pod(owner_uid="another"), "run_gone"),
        (Resource.JOB, "ada-r3", None, "run_gone"),
        (Resource.JOB, "ada-r3", job(uid="another"), "run_gone"),
        (Resource.JOB, "ada-r3", job(kind="CronJob", api_version="batch/v1"), "not_a_run"),
        (Resource.JOB, "ada-r3", job(api_version="example.com/v1"), "not_a_run"),
        (Resource.JOB, "ada-r3", job(owner_uid="another"), "session_gone"),
        (Resource.SESSION, "ada", None, "session_gone"),
        (
            Resource.SESSION,
            "ada",
            {"metadata": {"name": "ada", "uid": "s-uid"}, "spec": {}},
            "session_unreadable",
        ),
    ],
)
async def test_a_broken_chain(
    identity: TokenIdentity,
    cluster: FakeCluster,
    resource: Resource,
    name: str,
    body: dict[str, Any] | None,
    code: str,
) -> None:
    if body is None:
        del cluster.objects[resource, "agents", name]
    else:
        cluster.put(resource, name, body)
    assert await refused(identity) == (403, code)


async def test_an_owner_that_is_not_the_controller(
    identity: TokenIdentity, cluster: FakeCluster
) -> None:
    body = pod()
    body["metadata"]["ownerReferences"][0]["controller"] = False
    cluster.put(Resource.POD, POD, body)
    assert await refused(identity) == (403, "not_a_run")


async def test_a_job_that_is_not_named_like_a_run(
    identity: TokenIdentity, cluster: FakeCluster
) -> None:
    cluster.put(Resource.POD, POD, pod(owner="mine", owner_uid="mine-uid"))
    cluster.put(Resource.JOB, "mine", job("mine"))
    assert await refused(identity) == (403, "not_a_run")


def test_only_the_controller_counts() -> None:
    body = pod()
    body["metadata"]["ownerReferences"].insert(
        0, {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "x"}
    )
    found = controller_of(body, "batch", "Job")
    assert found is not None
    assert found.name == "ada-r3"


async def test_caches(identity: TokenIdentity, cluster: FakeCluster, clock: Clock) -> None:
    await identity.recognise(TOKEN)
    assert len(cluster.calls) == 4
    clock.now = 9.9
    await identity.recognise(TOKEN)
    assert len(cluster.calls) == 4
    clock.now = 10.0
    await identity.recognise(TOKEN)
    assert cluster.calls[4:] == ["review agentsession-gateway"]
    clock.now = 60.0
    await identity.recognise(TOKEN)
    assert len(cluster.calls) == 9


async def test_fresh_reads_the_objects_again(identity: TokenIdentity, cluster: FakeCluster) -> None:
    await identity.recognise(TOKEN)
    await identity.recognise(TOKEN, fresh=True)
    assert [call for call in cluster.calls[4:]] == [
        f"read POD agents/{POD}",
        "read JOB agents/ada-r3",
        "read SESSION agents/ada",
    ]


async def test_refusals_are_not_cached(identity: TokenIdentity, cluster: FakeCluster) -> None:
    assert await refused(identity, "late") == (401, "token_invalid")
    cluster.reviews["late"] = review(POD, f"{POD}-uid")
    assert (await identity.recognise("late")).caller.run == "s-uid/3"


async def test_an_api_server_that_is_away(identity: TokenIdentity, cluster: FakeCluster) -> None:
    cluster.down = True
    with pytest.raises(ClusterUnavailableError):
        await identity.recognise(TOKEN)


class SlowCluster(FakeCluster):
    """Counts how many reviews run at once."""

    running = 0
    most = 0

    async def review(self, token: str, audience: str) -> Mapping[str, Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        return await super().review(token, audience)


async def test_reviews_at_once(clock: Clock) -> None:
    cluster = SlowCluster()
    identity = TokenIdentity(cluster, naming.AUDIENCE_GATEWAY, ("agents",), clock)
    answers = await asyncio.gather(
        *(identity.recognise(f"t{n}", address=f"10.0.0.{n}") for n in range(100)),
        return_exceptions=True,
    )
    assert all(isinstance(answer, ProblemError) for answer in answers)
    assert cluster.most == REVIEWS_AT_ONCE


async def test_a_crowd_with_one_token_is_reviewed_no_more_than_once_each_place(
    cluster: FakeCluster, clock: Clock
) -> None:
    slow = SlowCluster(objects=cluster.objects, reviews=cluster.reviews)
    identity = TokenIdentity(slow, naming.AUDIENCE_GATEWAY, ("agents",), clock)
    await asyncio.gather(*(identity.recognise(TOKEN) for _ in range(200)))
    assert slow.calls.count("review agentsession-gateway") == REVIEWS_AT_ONCE_PER_ADDRESS


async def test_forged_tokens_of_one_address_do_not_make_others_wait(
    cluster: FakeCluster, clock: Clock
) -> None:
    slow = SlowCluster(objects=cluster.objects, reviews=cluster.reviews)
    identity = TokenIdentity(slow, naming.AUDIENCE_GATEWAY, ("agents",), clock)
    flood = [
        asyncio.create_task(identity.recognise(f"forged-{n}", address="10.0.0.1"))
        for n in range(100)
    ]
    await asyncio.sleep(0)
    await identity.recognise(TOKEN, address="10.0.0.2")
    assert sum(task.done() for task in flood) <= 2 * REVIEWS_AT_ONCE_PER_ADDRESS
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert all(isinstance(answer, ProblemError) for answer in answers)


class TestBearerToken:
    @pytest.mark.parametrize(
        "headers", [{"authorization": "Bearer t"}, {"authorization": "bearer  t "}]
    )
    def test_bearer(self, headers: dict[str, str]) -> None:
        assert bearer_token(headers) == "t"

    @pytest.mark.parametrize(
        "headers",
        [{}, {"authorization": "Basic t"}, {"authorization": "Bearer "}, {"x-api-key": "t"}],
    )
    def test_none(self, headers: dict[str, str]) -> None:
        with pytest.raises(ProblemError) as error:
            bearer_token(headers)
        assert error.value.status == 401

    def test_as_api_key_where_allowed(self) -> None:
        assert bearer_token({"x-api-key": "t"}, api_key_allowed=True) == "t"
        both = {"x-api-key": "k", "authorization": "Bearer t"}
        assert bearer_token(both, api_key_allowed=True) == "t"
