"""What people decide in their chats: carried out once, theirs alone, and said in the chat."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.decisions import Decisions
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.orchestrator import Orchestrator, problem
from agentsession_testing.serving import until
from agentsession_testing.valkey import entries
from orchestrator_api.deciding import Decider
from orchestrator_api.relay import Relay

USER = "42"


class Stage:
    """A run of user 42 that has asked whether it may delete its project."""

    def __init__(self, orchestrator: Orchestrator, store: MailboxStore, redis: Redis) -> None:
        orchestrator.store = store
        self.orchestrator, self.store, self.redis = orchestrator, store, redis
        self.decisions = Decisions(redis)
        self.decider = Decider(
            orchestrator.database, self.decisions, store, orchestrator.now, lambda: None
        )
        self.token = self.approval = ""

    async def ask(self) -> None:
        self.token = await self.orchestrator.run(USER)
        state = MailboxKeys(USER).state
        await self.redis.hset(state, mapping={"user": USER})
        await self.store.ingest(
            USER, NewMessage(source=Source.TELEGRAM, id="m", chat=USER, text="?")
        )
        async with self.orchestrator.client(self.token) as agent:
            await agent.post("/v1/projects", json={"name": "todo-app"})
        self.approval = (await self.attempt())[2]

    async def attempt(self) -> tuple[int, str, str]:
        """The agent's call: status, code, approval."""
        async with self.orchestrator.client(self.token) as agent:
            answer = await agent.delete("/v1/projects/1")
        if answer.status_code == 204:
            return 204, "", ""
        return (*problem(answer), answer.json().get("approval", {}).get("id", ""))

    async def press(self, *, approved: bool, user: str = USER, mailbox: str = USER) -> None:
        await self.decisions.decide(
            approval=self.approval,
            approved=approved,
            user=user,
            mailbox=mailbox,
            by="telegram:42",
        )
        await self.decider.carry_out(0.01)

    async def said(self) -> list[str]:
        """What was said in the chat after the question."""
        await Relay(self.orchestrator.database, Publishing(self.redis)).publish()
        found = await entries(self.redis, MailboxKeys(USER).outgoing)
        return [entry["text"] for _, entry in found][1:]


@pytest.fixture
async def stage(orchestrator: Orchestrator, store: MailboxStore, redis_client: Redis) -> Stage:
    stage = Stage(orchestrator, store, redis_client)
    await stage.ask()
    return stage


async def test_yes(stage: Stage) -> None:
    await stage.press(approved=True)
    assert (await stage.attempt())[0] == 204
    (words,) = await stage.said()
    assert words.startswith("Agreed: delete project todo-app (1) with all that it has.")
    async with stage.orchestrator.client(await stage.orchestrator.token(USER)) as person:
        found = (await person.get(f"/v1/approvals/{stage.approval}")).json()
        log = (await person.get("/v1/audit")).json()["items"]
    assert (found["state"], found["decided_by"]) == ("used", "telegram:42")
    assert ("approval.approve", "telegram:42") in {(one["action"], one["actor"]) for one in log}
    assert await entries(stage.redis, keys.DECISIONS) == []


async def test_no(stage: Stage) -> None:
    await stage.press(approved=False)
    assert (await stage.attempt())[:2] == (403, "approval_denied")
    # Whoever presses the other button of an old message has not changed their mind for the agent.
    await stage.press(approved=True)
    assert (await stage.attempt())[:2] == (403, "approval_denied")
    assert await stage.said() == [
        "Refused: delete project todo-app (1) with all that it has.",
        "Not decided: delete project todo-app (1) with all that it has. It is denied already.",
    ]


async def test_too_late(stage: Stage) -> None:
    stage.orchestrator.moved = timedelta(minutes=16)
    await stage.press(approved=True)
    assert (await stage.attempt())[:2] == (403, "approval_required")
    assert "It is older than 15 minutes" in (await stage.said())[0]


@pytest.mark.parametrize(
    ("user", "mailbox"), [("43", "43"), ("g100", ""), ("g42", ""), ("", ""), ("43", "")]
)
async def test_in_another_chat(stage: Stage, user: str, mailbox: str) -> None:
    await stage.press(approved=True, user=user, mailbox=mailbox)
    assert (await stage.attempt())[:2] == (403, "approval_required")
    assert await stage.said() == []
    assert await entries(stage.redis, keys.DECISIONS) == []


async def test_a_session_that_has_another_name_for_whose_chat_it_is(stage: Stage) -> None:
    await stage.press(approved=True, user="ada")
    assert (await stage.attempt())[0] == 204


@pytest.mark.parametrize("fields", [{"x": "y"}, {"approval": "0" * 12, "user": USER}])
async def test_what_is_no_decision(stage: Stage, fields: dict[str, str]) -> None:
    await stage.redis.xadd(keys.DECISIONS, fields)  # type: ignore[arg-type]
    await stage.decider.carry_out(0.01)
    assert await entries(stage.redis, keys.DECISIONS) == []
    assert (await stage.attempt())[:2] == (403, "approval_required")


async def test_a_decision_outlives_whoever_took_it(stage: Stage) -> None:
    await stage.decisions.decide(
        approval=stage.approval, approved=True, user=USER, mailbox=USER, by="telegram:42"
    )
    assert len(await stage.decisions.waiting(0.01)) == 1, "taken, and then it dies"
    await stage.decider.carry_out(0.01)
    assert (await stage.attempt())[0] == 204


async def test_a_redis_that_was_emptied_is_no_end(stage: Stage) -> None:
    running = asyncio.create_task(stage.decider.run())
    await stage.press(approved=False)
    await stage.redis.delete(keys.DECISIONS)
    await stage.decisions.decide(
        approval=stage.approval, approved=False, user=USER, mailbox=USER, by="telegram:42"
    )

    async def gone() -> bool:
        return await entries(stage.redis, keys.DECISIONS) == []

    await until(gone, "the decision after it is carried out")
    running.cancel()


async def test_nobody_is_told_where_nobody_is(stage: Stage) -> None:
    await stage.redis.delete(MailboxKeys(USER).state)
    await stage.store.begin_run(
        USER, run="u/9", expected="", session_uid="u", launch=LaunchType.COLD, user="eve"
    )
    await stage.press(approved=True)
    assert await stage.said() == []
