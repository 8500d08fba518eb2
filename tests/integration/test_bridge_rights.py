"""The bridge with the rights that the chart gives it, and no others: it finds, makes and wakes sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.bridge_process import NAMESPACE, BridgeProcess
from agentsession_testing.chart import find_helm
from agentsession_testing.kubeconfig import write_kubeconfig
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram, telegram_stand_in
from agentsession_testing.valkey import Valkey

ADA = 71
SESSIONS = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"
SYSTEM, ACCOUNT = "agentsession-system", "agentsession-bridge"
SECONDS = 30.0


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE, SYSTEM)
        yield server


@pytest.fixture
def token(api_server: ApiServer, tmp_path: Path) -> str:
    """A token of the bridge's ServiceAccount, bound as the chart binds it."""
    stand_in = {"modelServer": {"enabled": True}, "telegramServer": {"enabled": True}}
    for item in find_helm(tmp_path).objects(stand_in):
        kind, name = item["kind"], item["metadata"]["name"]
        if kind in ("ServiceAccount", "Role", "RoleBinding") and name == ACCOUNT:
            api_server.apply(item)
    account = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{ACCOUNT}"
    with api_server.client() as client:
        asked = client.post(f"{account}/token", json={"spec": {}}).raise_for_status()
    found: str = asked.json()["status"]["token"]
    return found


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        await found.join(ADA, "Ada")
        yield found


def sessions(server: ApiServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(SESSIONS)["items"]
    return found


async def test_the_chart_s_rights_are_enough(
    api_server: ApiServer,
    token: str,
    world: Telegram,
    valkey: Valkey,
    redis_client: Redis,
    tmp_path: Path,
) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "bridge.kubeconfig", api_server.url, token)
    bridge = BridgeProcess(tmp_path, world.url, valkey.url, kubeconfig)
    bridge.allow(ADA)
    await bridge.start()
    try:
        await world.write(ADA, "first")
        await until(lambda: len(sessions(api_server)) == 1, "the session is made", SECONDS)
        theirs = await world.write(ADA, "second")

        def told() -> bool:
            inbox = sessions(api_server)[0]["spec"].get("inbox", {})
            return bool(inbox.get("lastMessageID") == f"{ADA}.{theirs['message_id']}")

        await until(told, "the session's inbox names the second message", SECONDS)
        with api_server.client() as client:
            client.delete(SESSIONS).raise_for_status()
        # Only who watches knows that the session is gone: an inbox of no session tells nobody.
        await world.write(ADA, "third")
        await until(lambda: len(sessions(api_server)) == 1, "another session is made", SECONDS)
    finally:
        await bridge.kill()
    log = bridge.log()
    assert "not followed" not in log, log
    assert "refused" not in log, log


@pytest.mark.parametrize(
    ("verb", "group", "resource"),
    [
        ("delete", "agentsession.dev", "agentsessions"),
        ("patch", "agentsession.dev", "agentsessions/status"),
        ("get", "", "secrets"),
        ("create", "", "pods"),
        ("create", "", "pods/exec"),
        ("create", "", "serviceaccounts/token"),
        ("create", "batch", "jobs"),
    ],
)
@pytest.mark.parametrize("namespace", [NAMESPACE, SYSTEM])
def test_what_it_does_not_need_it_may_not(
    api_server: ApiServer, token: str, verb: str, group: str, resource: str, namespace: str
) -> None:
    assert api_server.may(token, namespace, verb, group, resource) is False
