"""One message through the logs of real operator, gateway and runners; and what is in none of them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agentsession_core import naming
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_testing.serving import plain_client, until
from agentsession_testing.valkey import entries
from chaos.ground import NAMESPACE, Ground, process_ground
from chaos.ledger import Ledger

PERSON, MESSAGE = "ada", "telegram-77-1"
TEXT, PROMPT = "canary-of-the-text", "canary-of-the-prompt"
TOKEN, KEY = "canary-of-the-token", "canary-of-the-key"
# Every JSON Web Token begins so: those of the runs' ServiceAccount among them.
JWT = "eyJhbGciOi"
SECONDS = 120.0


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    program = os.environ.get("LOCALKUBE_BINARY")
    if not program:
        pytest.skip("LOCALKUBE_BINARY is not set: make test sets it where the local cluster is")
    secrets = tmp_path / "ground" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "anthropic-api-key").write_text(KEY)
    async with process_ground(tmp_path / "ground", program, 1, 1, Ledger()) as made:
        yield made


def lines(ground: Ground, part: str) -> list[dict[str, Any]]:
    text = (ground.logs / f"{part}-0.log").read_text(errors="replace")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def metrics_of(ground: Ground, part: str) -> str:
    settings = yaml.safe_load((ground.folder / f"{part}-0.yaml").read_text())
    async with plain_client() as client:
        answer = await client.get(f"http://127.0.0.1:{settings[part]['metricsPort']}/metrics")
    return answer.text


async def live_through_two_turns(ground: Ground) -> None:
    path = ground.objects(naming.SESSION_PLURAL)
    body = {
        "apiVersion": naming.API_VERSION,
        "kind": naming.SESSION_KIND,
        "metadata": {"name": "adas-session", "namespace": NAMESPACE},
        "spec": {"user": {"id": PERSON}},
    }
    await ground.kube.call("POST", path, body)
    new = NewMessage(source=Source.TELEGRAM, id=MESSAGE, chat="77", text=TEXT)
    await ground.store.ingest(PERSON, new)

    async def answered() -> bool:
        return bool(await entries(ground.redis, MailboxKeys(PERSON).outgoing))

    await until(answered, "the message has its answer", SECONDS)
    [(_, answer)] = await entries(ground.redis, MailboxKeys(PERSON).outgoing)
    assert TEXT in answer["text"]
    await ground.kube.merge(f"{path}/adas-session", {"spec": {"prompt": PROMPT}})

    async def replied() -> bool:
        status = (await ground.kube.get(f"{path}/adas-session")).get("status", {})
        return PROMPT in status.get("lastTurn", {}).get("reply", "")

    await until(replied, "the prompt has its answer", SECONDS)


async def test_a_message_is_followed_by_its_id_and_nothing_secret_is_said(ground: Ground) -> None:
    await live_through_two_turns(ground)
    gateway = yaml.safe_load((ground.folder / "gateway-0.yaml").read_text())["gateway"]["url"]
    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as stranger:
        headers = {"authorization": f"Bearer {TOKEN}"}
        refused = await stranger.post("/v1/runner/hello", headers=headers, json={"text": TEXT})
        assert refused.status_code == 401
        headers = {"x-api-key": TOKEN}
        call = {"messages": [{"role": "user", "content": TEXT}]}
        path = "/v1/model/anthropic/v1/messages"
        assert (await stranger.post(path, headers=headers, json=call)).status_code == 401

    # By its id: given, then ended, by the gateway, in one turn and one run.
    about = [line for line in lines(ground, "gateway") if MESSAGE in line.get("message_ids", ())]
    assert [line["event"] for line in about] == ["turn given", "turn ended"]
    given, ended = about
    assert ended["outcome"] == "Succeeded"
    for line in about:
        assert (line["session"], line["namespace"]) == ("adas-session", NAMESPACE)
        assert (line["mailbox"], line["run"], line["turn"]) == (
            PERSON,
            given["run"],
            given["turn"],
        )
    # By its run: what the operator did for it, with the same words.
    [started] = [
        line
        for line in lines(ground, "operator")
        if line["event"] == "run started" and line["run"] == given["run"]
    ]
    assert (started["session"], started["namespace"], started["mailbox"]) == (
        "adas-session",
        NAMESPACE,
        PERSON,
    )
    [hello] = [line for line in lines(ground, "gateway") if line["event"] == "hello"]
    assert (hello["run"], hello["session"]) == (given["run"], "adas-session")
    # The prompt came in by the operator's hand.
    [came] = [line for line in lines(ground, "operator") if line["event"] == "message"]
    assert (came["source"], came["admission"], came["session"]) == (
        "prompt",
        "new",
        "adas-session",
    )

    said = {part: await metrics_of(ground, part) for part in ("operator", "gateway")}
    logs = {file.name: file.read_text(errors="replace") for file in ground.logs.glob("*.log")}
    assert {"operator-0.log", "gateway-0.log"} <= set(logs)
    for where, text in {**logs, **said}.items():
        for secret in (TEXT, PROMPT, TOKEN, KEY, JWT):
            assert secret not in text, f"{secret} stands in what {where} said"
    for part, text in said.items():
        for name in (PERSON, "adas-session", MESSAGE, given["turn"]):
            assert f'"{name}"' not in text, f"{name} is a label of the {part}'s metrics"
    # All of a cold start's stages were on this message's way.
    for stage in (
        "wake",
        "job_made",
        "pod_started",
        "hello",
        "turn_given",
        "first_token",
        "result",
    ):
        series = f'stage_seconds_count{{launch_type="cold",stage="{stage}"}} 1.0'
        assert series in said["gateway"], stage
