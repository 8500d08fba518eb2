"""The operator's whole step against a real Valkey; only the API server is played by the test."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_core.api import Phase, TurnOutcome
from agentsession_core.mailbox.answers import CommitAnswer, RunAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ResultRecord, RunState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cluster_errors import ClusterError, RefusedError
from agentsession_operator.model import Key
from agentsession_testing.operator_stage import KEY, UID, Stage
from agentsession_testing.valkey import entries


@pytest.fixture
async def stage(redis_client: Redis) -> Stage:
    store = MailboxStore(redis_client)
    await store.begin_epoch("e")
    return Stage(store)


async def test_a_prompt_goes_all_the_way_to_the_status(stage: Stage) -> None:
    await stage.apply(prompt="hello")
    assert stage.cluster.made == ["PersistentVolumeClaim/anna-workspace", "Job/anna-r1"]
    await stage.look()
    assert len(stage.cluster.made) == 2, "nothing is made twice"
    await stage.connect(1)
    await stage.answer(1, "Hi!")
    assert stage.status["phase"] == Phase.IDLE
    assert stage.status["lastTurn"]["reply"] == "Hi!"
    assert stage.status["agentSessionID"] == "conversation-1"
    assert stage.cluster.events == ["WorkspaceCreated", "RunStarted", "TurnSucceeded"]
    await stage.look()
    [delivered] = stage.delivered
    assert (delivered.stage, delivered.launch) == ("delivered", "cold")
    assert 0 <= delivered.seconds < 60


async def test_an_idle_session_costs_no_write(stage: Stage) -> None:
    await stage.apply(prompt="hello")
    await stage.connect(1)
    await stage.answer(1, "Hi!")
    writes = len(stage.cluster.statuses)
    for _ in range(5):
        await stage.look()
    assert len(stage.cluster.statuses) == writes


async def test_prompts_a_b_a_are_three_messages_and_the_same_again_is_none(
    stage: Stage, redis_client: Redis
) -> None:
    for prompt in ("A", "B", "A", "A"):
        await stage.apply(prompt=prompt)
    entries: Any = await redis_client.xrange(MailboxKeys("42").incoming)
    assert [fields[b"text"] for _, fields in entries] == [b"A", b"B", b"A"]


async def test_one_run_per_turn_and_the_next_resumes(stage: Stage) -> None:
    await stage.apply(prompt="one", idlePolicy={"suspendAfterSeconds": 0})
    await stage.connect(1)
    await stage.answer(1, "1")
    state = await stage.store.state("42")
    assert state.run is not None
    assert state.run.state == "drained"
    await stage.leave(1)
    assert stage.status["phase"] == Phase.SUSPENDED
    await stage.apply(prompt="two")
    assert stage.cluster.made[-1] == "Job/anna-r2"
    # Starting is a passing phase: it is written when it still holds a while later.
    await stage.look()
    assert stage.status["phase"] == Phase.STARTING
    assert stage.status["launchType"] == "resume"


async def test_a_message_in_the_closing_window_keeps_the_runner(stage: Stage) -> None:
    await stage.apply(prompt="one", idlePolicy={"suspendAfterSeconds": 0})
    await stage.connect(1)
    await stage.answer(1, "1")
    await stage.apply(prompt="two")
    bye = await stage.store.bye("42", run=f"{UID}/1", pod_uid="pod-1")
    assert bye is RunAnswer.REOPENED
    await stage.look()
    assert stage.cluster.made[-1] == "Job/anna-r1"
    await stage.answer(1, "2")
    assert stage.status["lastTurn"]["reply"] == "2"


async def test_a_run_that_dies_is_counted_once_and_followed_after_its_backoff(
    stage: Stage,
) -> None:
    await stage.apply(prompt="one")
    await stage.connect(1)
    stage.pod(1, phase="Failed", state="terminated", exit_code=1)
    for _ in range(3):
        await stage.look()
    state = await stage.store.state("42")
    assert state.failure is not None
    assert state.failure.count == 1
    assert stage.status["phase"] == Phase.FAILED
    assert "RunFailed" in stage.cluster.events
    assert stage.cluster.made[-1] == "Job/anna-r1"


async def test_a_turn_whose_runs_die_three_times_is_given_up_and_the_next_is_answered(
    stage: Stage, redis_client: Redis
) -> None:
    keys = MailboxKeys("42")
    await stage.apply(prompt="kills its run")
    for run in (1, 2, 3):
        await stage.connect(run)
        turn = await stage.store.begin_turn(
            "42", run=f"{UID}/{run}", pod_uid=f"pod-{run}", turn=f"turn-{run}", timeout_seconds=60
        )
        assert (turn.turn, turn.attempt) == ("turn-1", run)
        stage.pod(run, phase="Failed", state="terminated", exit_code=137)
        await stage.look()
        # Redis' clock cannot be moved: the failure is made older than its backoff.
        await redis_client.hset(keys.state, "failed_at", "1.000000")
        for _ in range(2):
            await stage.look()
    late = ResultRecord(TurnOutcome.SUCCEEDED, "after all")
    answer = await stage.store.commit_result("42", run=f"{UID}/3", turn="turn-1", result=late)
    assert answer is CommitAnswer.ALREADY
    assert stage.cluster.made[-1] == "Job/anna-r3", "nothing waits: no further run"
    assert stage.status["lastTurn"]["outcome"] == "DeadLettered"
    degraded = next(c for c in stage.status["conditions"] if c["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "DeadLettered")
    assert "3 times" in degraded["message"]
    assert "DeadLettered" in stage.cluster.events
    assert "TurnDeadLettered" in stage.cluster.events
    assert await redis_client.xlen(keys.dead) == 1
    assert await stage.store.backlog() == []
    await stage.apply(prompt="harmless")
    await stage.connect(4)
    await stage.answer(4, "fine")
    assert stage.status["lastTurn"]["reply"] == "fine"


async def test_an_evicted_run_is_followed_at_once_and_counts_apart(
    stage: Stage, redis_client: Redis
) -> None:
    await stage.apply(prompt="one")
    await stage.connect(1)
    await stage.store.begin_turn(
        "42", run=f"{UID}/1", pod_uid="pod-1", turn="t1", timeout_seconds=60
    )
    stage.pod(1, phase="Failed", state="terminated", exit_code=143, disrupted=True)
    for _ in range(2):
        await stage.look()
    state = await stage.store.state("42")
    assert state.turn is not None
    assert (state.turn.deaths, state.turn.evictions, state.failure) == (0, 1, None)
    assert stage.cluster.made[-1] == "Job/anna-r2"


async def test_suspended_by_hand_people_are_told_once_and_served_afterwards(
    stage: Stage, redis_client: Redis
) -> None:
    keys = MailboxKeys("42")

    async def say(name: str) -> None:
        await stage.store.ingest(
            "42", NewMessage(source=Source.TELEGRAM, id=name, chat="7", text=name)
        )
        for _ in range(2):
            await stage.look()

    await stage.apply(operatingMode="Suspended")
    await say("m1")
    await say("m2")
    [(_, notice)] = await entries(redis_client, keys.outgoing)
    assert (notice["kind"], notice["reply_to"]) == ("notice", "[]")
    assert stage.cluster.made == []
    assert stage.status["phase"] == Phase.SUSPENDED
    await stage.apply(operatingMode="Running")
    await stage.connect(1)
    await stage.answer(1, "both")
    [_, (_, answer)] = await entries(redis_client, keys.outgoing)
    assert (answer["kind"], answer["reply_to"]) == ("answer", '["m1","m2"]')
    # Put to sleep once more, people are told once more.
    await stage.apply(operatingMode="Suspended")
    await stage.leave(1)
    await say("m3")
    assert await redis_client.xlen(keys.outgoing) == 3


async def test_a_job_whose_answer_was_lost_is_found_and_not_made_twice(stage: Stage) -> None:
    stage.cluster.answers_lost = 1
    with pytest.raises(ClusterError):
        await stage.apply(prompt="one")
    for _ in range(3):
        await stage.look()
    assert list(stage.cluster.jobs) == ["anna-r1"]
    await stage.connect(1)
    await stage.answer(1, "1")
    assert stage.status["runs"] == 1


async def test_a_run_that_said_hello_before_any_watch_showed_it_is_not_replaced(
    stage: Stage,
) -> None:
    stage.cluster.answers_lost = 1
    with pytest.raises(ClusterError):
        await stage.apply(prompt="one")
    await stage.store.hello("42", run=f"{UID}/1", pod_uid="pod-1", pod="anna-r1-x")
    for _ in range(3):
        await stage.look()
    assert list(stage.cluster.jobs) == ["anna-r1"]
    assert (await stage.store.state("42")).failure is None


async def test_what_the_api_server_refuses_is_said_and_tried_again(stage: Stage) -> None:
    stage.cluster.refusal = RefusedError(403, "exceeded quota: small")
    await stage.apply(prompt="one")
    ready = next(c for c in stage.status["conditions"] if c["type"] == "Ready")
    assert ready["reason"] == "QuotaExceeded"
    assert "exceeded quota: small" in ready["message"]
    assert stage.status["phase"] == Phase.FAILED
    assert "QuotaExceeded" in stage.cluster.events
    stage.cluster.refusal = None
    # Redis' clock cannot be moved; a start that is due forgets the refusal.
    stage.reconcile._refusals.forget(KEY)
    await stage.look()
    assert stage.cluster.made[-1].startswith("Job/anna-r")


async def test_a_job_without_a_pod_is_asked_about_and_replaced(
    stage: Stage, redis_client: Redis
) -> None:
    await stage.apply(prompt="one")
    await redis_client.hset(MailboxKeys("42").run, "begun_at", "1.0")
    stage.cluster.complaints = [
        {"reason": "FailedCreate", "message": "violates PodSecurity", "lastTimestamp": "2026"}
    ]
    await stage.look()
    assert stage.cluster.deleted == ["anna-r1"]
    state = await stage.store.state("42")
    assert state.failure is not None
    assert state.failure.reason == "PodRefused"
    assert "violates PodSecurity" in state.failure.message
    assert "PodRefused" in stage.cluster.events


async def test_a_changed_template_ends_idle_runs_one_after_the_other(stage: Stage) -> None:
    await stage.apply(prompt="one")
    await stage.connect(1)
    await stage.answer(1, "1")
    await stage.apply(agent={"model": "another"})
    state = await stage.store.state("42")
    assert state.run is not None
    assert (state.run.state, state.run.why) == (RunState.DRAINED, "Outdated")
    assert not stage.reconcile._rollout.admits(Key("agents", "ben"), state.now)
    await stage.leave(1)
    await stage.look()
    suspended = next(c for c in stage.status["conditions"] if c["type"] == "Suspended")
    assert (suspended["status"], suspended["reason"]) == ("True", "Outdated")
    assert stage.reconcile._rollout.admits(Key("agents", "ben"), state.now)


async def test_deleted_by_a_person_the_mailbox_goes(stage: Stage, redis_client: Redis) -> None:
    await stage.apply(prompt="one")
    stage.cluster.session = None
    await stage.look()
    assert await redis_client.keys("user:42:*") == [b"user:42:ended"]


async def test_deleted_for_idleness_and_a_change_meanwhile_wins(
    stage: Stage, redis_client: Redis
) -> None:
    policy = {"suspendAfterSeconds": 0, "deleteAfterSeconds": 1, "warnBeforeDeleteSeconds": 0}
    await stage.apply(prompt="one", idlePolicy=policy)
    await stage.connect(1)
    await stage.answer(1, "1")
    await stage.leave(1)
    # Redis' clock cannot be moved: the message is made older instead.
    await redis_client.zadd("sessions:activity", {"42": 1.0})
    assert stage.cluster.session is not None
    stage.cluster.session["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    stage.cluster.session["status"]["lastActivityTime"] = "2020-01-01T00:00:00Z"
    stage.handlers.session(copy.deepcopy(stage.cluster.session), deleted=False)
    stage.cluster.bump()
    await stage.reconcile(KEY)
    assert stage.cluster.session is not None, "it changed after the operator had looked"
    assert not (await stage.store.state("42")).closed
    await stage.look()
    assert stage.cluster.session is None
    assert stage.cluster.deleted == ["anna"]


async def test_two_sessions_of_a_mailbox_never_see_each_others_messages(stage: Stage) -> None:
    await stage.apply(prompt="secret of the first")
    await stage.connect(1)
    await stage.answer(1, "answer to the first")
    first = stage.cluster.session
    second = copy.deepcopy(first)
    assert second is not None
    second["metadata"] |= {
        "name": "ben",
        "uid": "uid-2",
        "creationTimestamp": "2099-01-01T00:00:00Z",
    }
    second["status"] = {}
    stage.cluster.session = second
    stage.handlers.session(copy.deepcopy(second), deleted=False)
    await stage.reconcile(Key("agents", "ben"))
    assert "answer to the first" not in str(stage.cluster.session)
    conditions = {c["type"]: c["reason"] for c in stage.cluster.session["status"]["conditions"]}
    assert conditions["Ready"] == "MailboxTaken"
