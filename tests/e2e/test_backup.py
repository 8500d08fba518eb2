"""Backup and restore in pods: docs/backup.md is followed to the letter, by its own commands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentsession_testing.cluster import Body, ModelServer, Product, reply_of

NewName = Callable[[str], str]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"
# What is deleted leaves its volume.
RETAIN = {"retentionPolicy": {"whenDeleted": "Retain"}}


def commands_of(page: str) -> dict[str, str]:
    """Heading → its shell commands; before the first heading: "", the names."""
    parts = re.split(r"^#+ (.+)$", page, flags=re.MULTILINE)[2:]
    return {
        heading: "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        for heading, text in zip(["", *parts[1::2]], parts[::2], strict=True)
    }


@dataclass(frozen=True)
class Runbook:
    """The page, to be followed in a folder where its files lie."""

    commands: dict[str, str]
    names: str
    folder: Path

    def follow(self, heading: str) -> None:
        """Runs what stands under a heading."""
        script = f"{self.names}\n{self.commands[heading]}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{heading}\n{script}\n{done.stdout}{done.stderr}"


@pytest.fixture
def runbook(product: Product, tmp_path: Path) -> Runbook:
    commands = commands_of(PAGE.read_text(encoding="utf-8"))
    first, others = commands[""].split("\n", 1)
    names = product.names
    assert first == "RELEASE=agentsession NAMESPACE=agentsession-system SESSIONS=agents"
    ours = (
        f"RELEASE={names.release} NAMESPACE={names.namespace} SESSIONS={names.sessions_namespace}"
    )
    return Runbook(commands, f"{ours}\n{others}", tmp_path)


def volume(product: Product, name: str) -> str:
    """Uid of a session's volume claim."""
    return product.kubectl("get", "pvc", f"{name}-workspace", "-o", "jsonpath={.metadata.uid}")


def lose_sessions(product: Product) -> None:
    """Somebody deletes all of them, in a working cluster: their mailboxes go, too."""
    product.kubectl("delete", "agentsessions", "--all", "--timeout=60s")


def turns(body: Body) -> int:
    return int(body.get("status", {}).get("usage", {}).get("turns", 0))


def goes_on(product: Product, before: Body, command: str, *, run: int) -> Body:
    """A restored session, after it was told to do something more; it has done nothing else."""
    name = before["metadata"]["name"]
    restored = product.wait_phase(name, "Suspended")
    assert restored["metadata"]["uid"] != before["metadata"]["uid"]
    told = product.patch(name, prompt=command)
    after = product.wait(
        name,
        f"an answer to {command}",
        lambda seen: str(seen["status"].get("lastHandledMessageID", "")).startswith(
            told["metadata"]["uid"]
        ),
    )
    status, was = after["status"], before["status"]
    assert status["agentSessionID"] == was["agentSessionID"], "the conversation goes on"
    assert (status["runs"], status["launchType"]) == (run, "resume")
    assert turns(after) == turns(before) + 1, "nothing was answered twice"
    return after


def test_with_a_copy_of_redis_and_without_status(
    product: Product, new_name: NewName, model_server: ModelServer, runbook: Runbook
) -> None:
    asked, waiting = new_name("asked"), new_name("waiting")
    before: dict[str, Any] = {}
    for name in (asked, waiting):
        prompt = f"run: echo {name} > note.txt"
        manifest = product.manifest(name, prompt=prompt, workspace=RETAIN)
        before[name] = product.answer(product.apply(manifest))
    product.patch(waiting, operatingMode="Suspended")
    product.wait_phase(waiting, "Suspended")
    waits = product.patch(waiting, prompt="run: cat note.txt && echo at-last")
    product.wait(
        waiting,
        "its prompt taken",
        lambda seen: seen["status"]["observedGeneration"] == waits["metadata"]["generation"],
    )
    volumes = {name: volume(product, name) for name in before}

    runbook.follow("Take one")
    lose_sessions(product)
    for heading in ("Stop", "Redis", "Sessions", "Start"):
        runbook.follow(heading)

    # What waited is the old session's message, and is answered by the new one.
    product.wait_phase(waiting, "Suspended")
    product.patch(waiting, operatingMode="Running")
    answered = product.wait(waiting, "what waited", lambda seen: "at-last" in reply_of(seen))
    assert waiting in reply_of(answered)
    assert answered["status"]["lastHandledMessageID"].startswith(waits["metadata"]["uid"])
    assert turns(answered) == 2
    # Without its status a session counts its runs anew.
    command = f"run: cat note.txt && echo for-{asked}"
    after = goes_on(product, before[asked], command, run=1)
    assert asked in reply_of(after).replace(f"for-{asked}", "")

    assert volumes == {name: volume(product, name) for name in before}
    # The model saw the conversation of before, and no prompt of it came up anew.
    seen = model_server.requests(f"echo for-{asked}")
    assert any(f"echo {asked} > note.txt" in text for one in seen for text in one["user_texts"])


def test_without_a_copy_of_redis_status_says_what_was_answered(
    product: Product, new_name: NewName, runbook: Runbook
) -> None:
    name = new_name("forgotten")
    prompt = f"run: echo {name} > note.txt"
    product.answer(product.apply(product.manifest(name, prompt="hello", workspace=RETAIN)))
    before = product.answer(product.patch(name, prompt=prompt))
    assert turns(before) == 2
    kept = volume(product, name)

    runbook.follow("Take one")
    lose_sessions(product)
    runbook.follow("Stop")
    empty_redis(product)
    for heading in ("Sessions", "Status", "Start"):
        runbook.follow(heading)

    after = goes_on(product, before, "run: cat note.txt", run=2)
    assert name in reply_of(after)
    assert volume(product, name) == kept


def empty_redis(product: Product) -> None:
    """A Redis whose volume was lost knows nothing."""
    script = (
        'export REDISCLI_AUTH="$(cat /etc/redis/secrets/redis-password)"; '
        '"$(command -v valkey-cli || command -v redis-cli)" flushall'
    )
    pod = f"{product.names.release}-redis-0"
    said = product.kubectl("exec", pod, "--", "sh", "-c", script, namespace=product.names.namespace)
    assert said.strip() == "OK"
