"""What an agent says and writes of its own session: in the middle of a turn, and when it has finished."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from starlette.responses import Response

from agentsession_core.api import LaunchType
from agentsession_core.mailbox import keys
from agentsession_core.mailbox.contract import NewMessage, OutgoingEntry, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.publishing import Publishing
from agentsession_core.mailbox.responses import RESPONSES_PER_TURN
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.mailboxes import OK
from agentsession_testing.orchestrator import Orchestrator, problem
from agentsession_testing.valkey import entries
from orchestrator_api.calls import Call
from orchestrator_api.relay import Relay

RUN = "uid-of-ada-1/1"
POD = "ada-1-r1-abcde-uid"


@pytest.fixture
async def stage(orchestrator: Orchestrator, store: MailboxStore) -> Orchestrator:
    orchestrator.store = store
    return orchestrator


async def begin_turn(store: MailboxStore, turn: str = "t1") -> None:
    await store.ingest("ada", NewMessage(source=Source.TELEGRAM, id=turn, chat="7", text="?"))
    await store.begin_turn("ada", run=RUN, pod_uid=POD, turn=turn, timeout_seconds=60)


async def test_words_before_the_answer(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    async with stage.client(await stage.run("ada")) as agent:
        body = {"text": " It works. "}
        assert problem(await agent.post("/v1/responses", json=body)) == (409, "no_turn")
        await begin_turn(store)
        tried = await agent.post("/v1/responses?dry_run=true", json=body)
        assert (tried.status_code, tried.json()["turn"]) == (201, None)
        said = await agent.post("/v1/responses", json=body, headers={"idempotency-key": "k"})
        assert said.status_code == 201
        assert (said.json()["turn"], said.json()["reaches"]) == ("t1", "chat")
        again = await agent.post("/v1/responses", json=body, headers={"idempotency-key": "k"})
        assert again.json() == said.json()
        await store.commit_result("ada", run=RUN, turn="t1", result=OK)
        found = [entry for _, entry in await entries(redis_client, MailboxKeys("ada").outgoing)]
    assert [(entry["kind"], entry["text"]) for entry in found] == [
        ("respond", "It works."),
        ("answer", OK.text),
    ]


async def test_the_same_request_twice_at_once_is_said_once(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        requests = [
            agent.post("/v1/responses", json={"text": "x"}, headers={"idempotency-key": "k"})
            for _ in range(5)
        ]
        answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} == {201}
    assert await redis_client.xlen(MailboxKeys("ada").outgoing) == 1


async def test_a_database_that_forgets_the_key_lets_nothing_be_said_twice(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    """As when the process dies between Redis' answer and the commit."""
    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        keyed = {"idempotency-key": "k"}
        await agent.post("/v1/responses", json={"text": "x"}, headers=keyed)
        async with stage.database.writing() as session:
            await session.execute(text("DELETE FROM idempotency_keys"))
        again = await agent.post("/v1/responses", json={"text": "x"}, headers=keyed)
    assert again.status_code == 201
    assert await redis_client.xlen(MailboxKeys("ada").outgoing) == 1


async def test_whoever_died_before_the_commit_sends_it_again(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object, **__: object) -> Response:
        raise ConnectionError

    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        keyed = {"idempotency-key": "k"}
        with monkeypatch.context() as patched:
            patched.setattr(Call, "change", dies)
            cut = await agent.post("/v1/responses", json={"text": "x"}, headers=keyed)
            assert problem(cut) == (503, "database_unavailable")
        other = await agent.post("/v1/responses", json={"text": "y"}, headers=keyed)
        assert problem(other) == (409, "idempotency_key_reused")
        again = await agent.post("/v1/responses", json={"text": "x"}, headers=keyed)
        assert (again.status_code, again.json()["turn"]) == (201, "t1")
        replayed = await agent.post("/v1/responses", json={"text": "x"}, headers=keyed)
        assert replayed.headers["idempotent-replay"] == "true"
    found = [entry for _, entry in await entries(redis_client, MailboxKeys("ada").outgoing)]
    assert [entry["text"] for entry in found] == ["x"]
    async with stage.client(await stage.token("ada")) as ada:
        items = (await ada.get("/v1/audit")).json()["items"]
    assert [item["action"] for item in items] == ["session.respond"]


async def test_a_turn_has_an_end_of_words(stage: Orchestrator, store: MailboxStore) -> None:
    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        for number in range(RESPONSES_PER_TURN):
            said = await agent.post("/v1/responses", json={"text": str(number)})
            assert said.status_code == 201
        one_more = await agent.post("/v1/responses", json={"text": "x"})
    # No later try in this turn would be taken: nothing that is told to be tried again.
    assert problem(one_more) == (409, "too_many_responses")


async def test_nobody_speaks_into_anothers_chat(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    await stage.run("ada")
    await begin_turn(store)
    async with stage.client(await stage.run("bob")) as bob:
        refused = await bob.post("/v1/responses", json={"text": "x"})
        assert problem(refused) == (409, "no_turn")
        # Nor does a name in the request move it.
        named = await bob.post("/v1/responses", json={"text": "x", "mailbox": "ada"})
        assert problem(named) == (422, "invalid")
    async with stage.client(await stage.token("ada")) as person:
        assert problem(await person.post("/v1/responses", json={"text": "x"})) == (
            403,
            "only_for_runs",
        )
    assert await redis_client.xlen(MailboxKeys("ada").outgoing) == 0


async def test_after_stop_and_when_redis_has_forgotten(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        await store.request_cancel("ada", by="telegram")
        stopped = await agent.post("/v1/responses", json={"text": "x"})
        assert problem(stopped) == (409, "turn_stopped")
        await redis_client.delete("sessions:epoch")
        lost = await agent.post("/v1/responses", json={"text": "x"})
        assert problem(lost) == (503, "state_lost")


async def test_a_summary_of_session_and_project(stage: Orchestrator) -> None:
    async with (
        stage.client(await stage.run("ada")) as agent,
        stage.client(await stage.token("ada")) as ada,
    ):
        project = (await agent.post("/v1/projects", json={"name": "todo-app"})).json()
        body = {"text": "Deployed 1.4", "project_id": project["id"]}
        assert (await agent.post("/v1/summaries?dry_run=true", json=body)).status_code == 201
        kept = (await agent.post("/v1/summaries", json=body)).json()
        assert (kept["session_uid"], kept["written_by"]) == ("uid-of-ada-1", f"run:{RUN}")
        shown = await ada.get(f"/v1/projects/{project['id']}")
        assert shown.json()["summary"] == "Deployed 1.4"
        assert shown.headers["etag"] == '"2"'
        own = (await ada.post("/v1/summaries", json={"text": "Looked at it"})).json()
        assert (own["session_uid"], own["project_id"]) == (None, None)
        listed = (await ada.get("/v1/summaries")).json()["items"]
        assert [item["text"] for item in listed] == ["Looked at it", "Deployed 1.4"]
        of_it = (await ada.get(f"/v1/summaries?project_id={project['id']}")).json()["items"]
        assert [item["id"] for item in of_it] == [kept["id"]]
        # The project goes, what was done stays.
        assert (await ada.delete(f"/v1/projects/{project['id']}")).status_code == 204
        left = (await ada.get("/v1/summaries")).json()["items"]
        assert [item["project_id"] for item in left] == [None, None]
    async with stage.client(await stage.token("bob")) as bob:
        assert (await bob.get("/v1/summaries")).json()["items"] == []
        refused = await bob.post("/v1/summaries", json={"text": "x", "project_id": 1})
        assert problem(refused) == (404, "project_not_found")


async def test_an_escalation_tells_the_person(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    stage.relay = Relay(stage.database, Publishing(redis_client))
    body = {"title": "It does not start", "description": "Tried three times."}
    async with stage.client(await stage.run("ada")) as agent:
        unheard = await agent.post("/v1/incidents", json=body)
        assert (unheard.status_code, unheard.json()["notified"]) == (201, None)
        await begin_turn(store)
        told = [(await agent.post("/v1/incidents", json=body)).json() for _ in range(5)]
    assert [one["notified"] for one in told] == ["chat"] * 4 + [None]
    await stage.relay.publish()
    found = [entry for _, entry in await entries(redis_client, MailboxKeys("ada").outgoing)]
    assert [entry["id"] for entry in found] == [f"incident.{one['id']}" for one in told[:4]]
    OutgoingEntry.model_validate(found[0])
    assert (found[0]["kind"], found[0]["chat"]) == ("notice", "7")
    assert found[0]["text"] == (
        "Somebody has to look at this: It does not start\nTried three times.\n"
        f"(incident {told[0]['id']})"
    )
    assert len(await entries(redis_client, keys.OUTGOING_READY)) == 4


async def test_whoever_follows_at_a_terminal_is_told_there(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    stage.relay = Relay(stage.database, Publishing(redis_client))
    async with stage.client(await stage.run("ada")) as agent:
        await store.ingest("ada", NewMessage(source=Source.TERMINAL, id="m1", text="?"))
        await store.begin_turn("ada", run=RUN, pod_uid=POD, turn="t1", timeout_seconds=60)
        told = (await agent.post("/v1/incidents", json={"title": "x"})).json()
    assert told["notified"] == "terminal"
    await stage.relay.publish()
    _, event = (await entries(redis_client, MailboxKeys("ada").events))[-1]
    assert (event["kind"], event["source"]) == ("notice", "terminal")
    assert await redis_client.xlen(MailboxKeys("ada").outgoing) == 0


async def test_a_mailbox_of_that_name_is_not_told_what_is_none_of_its_own(
    stage: Orchestrator, store: MailboxStore
) -> None:
    """A token's mailbox is called like its user; somebody else's session may have it."""
    await store.ingest("ada", NewMessage(source=Source.TELEGRAM, id="m1", chat="9", text="?"))
    await store.begin_run(
        "ada", run="u/1", expected="", session_uid="u", launch=LaunchType.COLD, user="eve"
    )
    async with stage.client(await stage.token("ada")) as ada:
        assert (await ada.post("/v1/incidents", json={"title": "x"})).json()["notified"] is None


async def test_the_person_is_asked_once_where_they_are(
    stage: Orchestrator, store: MailboxStore, redis_client: Redis
) -> None:
    stage.relay = Relay(stage.database, Publishing(redis_client))
    async with stage.client(await stage.run("ada")) as agent:
        await begin_turn(store)
        project = (await agent.post("/v1/projects", json={"name": "todo-app"})).json()["id"]
        asked = [await agent.delete(f"/v1/projects/{project}") for _ in range(3)]
    assert {problem(one) for one in asked} == {(403, "approval_required")}
    approval = asked[0].json()["approval"]["id"]
    await stage.relay.publish()
    ((_, found),) = await entries(redis_client, MailboxKeys("ada").outgoing)
    assert (found["kind"], found["id"], found["chat"]) == ("notice", f"approval.{approval}", "7")
    assert "delete project todo-app (1) with all that it has" in found["text"]
    assert f"orchestrator approvals approve {approval}" in found["text"]
