"""What a person may send, change and make: limits, edits, refusals by the cluster, commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer
from agentsession_testing.bridge_process import BridgeProcess
from agentsession_testing.bridge_world import ADA, BOB, Agent, has_texts, said, sessions
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

WHY = "no more agents today"


@pytest.fixture
def refusing(bridge_api_server: ApiServer) -> Iterator[str]:
    """The API server's admission refuses new sessions; the policy's path, to take it away."""
    group = "/apis/admissionregistration.k8s.io/v1"
    name = "refuses-sessions"
    rule = {
        "apiGroups": ["agentsession.dev"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["agentsessions"],
    }
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": WHY}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    bridge_api_server.apply(policy)
    bridge_api_server.apply(binding)
    path = f"{group}/validatingadmissionpolicybindings/{name}"
    yield path
    with bridge_api_server.client() as client:
        client.delete(path)


def refuses(server: ApiServer) -> bool:
    """Whether the policy is in force: a little later than it is written."""
    probe = {
        "apiVersion": "agentsession.dev/v1alpha1",
        "kind": "AgentSession",
        "metadata": {"name": "probe", "namespace": "agents"},
        "spec": {"user": {"id": "probe"}},
    }
    with server.client() as client:
        path = "/apis/agentsession.dev/v1alpha1/namespaces/agents/agentsessions?dryRun=All"
        return WHY in client.post(path, json=probe).text


async def test_a_refused_session_is_told_why_and_made_when_there_is_room(
    world: Telegram,
    bridge: BridgeProcess,
    bridge_api_server: ApiServer,
    refusing: str,
    agent: Agent,
) -> None:
    await until(lambda: refuses(bridge_api_server), "the policy is in force", 30)
    await world.write(ADA, "hello")
    told = await said(world, ADA, WHY)
    assert "Your message is kept" in told["text"]
    with bridge_api_server.client() as client:
        client.delete(refusing)
    await until(lambda: not refuses(bridge_api_server), "the policy is gone", 30)
    # Another process finds what waits: nobody has to write again.
    await bridge.kill()
    await bridge.start()
    await until(lambda: len(sessions(bridge_api_server)) == 1, "the session is made", 30)
    assert await agent.answer(str(ADA)) == ["hello"]
    await said(world, ADA, "echo hello")


async def test_an_edit_replaces_what_waits_and_comes_as_a_message_when_it_is_late(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis, agent: Agent
) -> None:
    first = await world.write(ADA, "helo")
    await world.put(f"chats/{ADA}/messages/{first['message_id']}", text="hello")
    await until(lambda: has_texts(redis_client, ADA, ["hello"]), "the text is replaced")
    turn, texts = await agent.turn(str(ADA))
    assert texts == ["hello"]
    # A later second: Telegram tells editions apart by nothing else.
    await redis_client.delete(*await redis_client.keys(f"user:{ADA}:seen:*"))
    await world.put(f"chats/{ADA}/messages/{first['message_id']}", text="hello, world")
    await said(world, ADA, "works on this as it was before")
    await until(
        lambda: has_texts(redis_client, ADA, ["hello", "hello, world"]), "the edition waits"
    )
    await agent.commit(str(ADA), turn, "Hi")


async def test_limits_of_a_person_are_told(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis
) -> None:
    await bridge.kill()
    bridge.settings = {"limits": {"messagesPerHour": 3, "waitingMessages": 2}}
    await bridge.start()
    for text in ("a", "b", "c"):
        await world.write(ADA, text)
    await said(world, ADA, "Too many of your messages wait")
    assert await has_texts(redis_client, ADA, ["a", "b"])
    await redis_client.delete(f"user:{ADA}:incoming")
    await world.write(ADA, "d")
    await world.write(ADA, "e")
    await said(world, ADA, "as many messages as one may in an hour")
    assert await has_texts(redis_client, ADA, ["d"])
    await world.write(BOB, "mine")
    await until(lambda: has_texts(redis_client, BOB, ["mine"]), "another person may write")


async def test_commands_answer_of_themselves(
    world: Telegram, bridge: BridgeProcess, redis_client: Redis, agent: Agent
) -> None:
    await world.wait("call", method="setMyCommands", seconds=60)
    menu = (await world.get("state"))["commands"]
    names = [command["command"] for command in next(iter(menu.values()))]
    assert names == ["new", "stop", "status", "usage", "keep", "resume", "help"]
    for command in ("status", "keep"):
        await world.write(ADA, f"/{command}")
        await said(world, ADA, "You have no agent yet")
    await world.write(ADA, "/resume")
    await said(world, ADA, "no conversation to go back to")
    await world.write(ADA, "hello")
    await agent.answer(str(ADA), "Hi")
    await said(world, ADA, "Hi")
    store = MailboxStore(redis_client)
    await store.add_usage(str(ADA), str(ADA), "2026-01-01", {"input_tokens": 1234})
    await world.write(ADA, "/usage")
    await said(world, ADA, "1 turns, 1,234 tokens in")
    await world.write(ADA, "/keep")
    await said(world, ADA, "Kept")
    await world.write(ADA, "/status")
    await said(world, ADA, "Conversation: 1")
    await world.write(ADA, "/new")
    await said(world, ADA, "A new conversation")
    await world.write(ADA, "/resume")
    await said(world, ADA, "Back in the conversation before")
    assert await redis_client.hget(f"user:{ADA}:mailbox", "agent_session_id") == b"c"
