"""The bounded form of `make chaos`, and the proof that its checks can fail."""

from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_testing.api_server import cluster_program
from agentsession_testing.serving import until
from chaos.ground import Ground
from chaos.ledger import Ledger
from chaos.report import as_markdown
from chaos.run import Wish, run_chaos
from chaos.schedule import Fault

# As many as there are kinds, three times.
FAULTS = 3 * len(Fault)


@pytest.fixture
def program() -> str:
    return cluster_program()


async def test_two_operators_lose_nothing_and_answer_nothing_twice(
    tmp_path: Path, program: str
) -> None:
    """Two at once is harder than one: whatever holds for them held for each alone."""
    seed = int(os.environ.get("SEED") or time.time())
    print(f"SEED={seed}")
    report = await run_chaos(Wish(seed, 0.75, 5, FAULTS, operators=2), tmp_path / "chaos", program)
    assert report.holds, "\n".join([as_markdown(report), *report.evidence])
    assert sum(report.faults.values()) + sum(report.missed.values()) == FAULTS
    assert report.figures.messages > 0


async def test_the_checks_find_what_is_broken_on_purpose(tmp_path: Path, program: str) -> None:
    async def sabotage(ground: Ground, ledger: Ledger) -> None:
        box = MailboxKeys("p00")
        await until(lambda: bool(ledger.mailbox("p00").answers), "there is an answer", 30)
        said = ledger.mailbox("p00").answers[0]
        await ground.redis.xadd(
            box.outgoing,
            {
                "kind": said.kind,
                "reply_to": json.dumps(said.reply_to),
                "text": said.text,
                "outcome": said.outcome,
            },
        )
        await _start_second_pod(ground)
        ground.node.cordon()
        ledger.offer("p00", "lost", 0)
        ledger.accept("p00", "lost", 0)
        await ground.redis.set("user:nobody:incoming", "forgotten")

    wish = Wish(1, 0.15, 2, 0, settle_seconds=3, gone_seconds=8)
    report = await run_chaos(wish, tmp_path / "chaos", program, sabotage)
    found = {(v.invariant, v.mailbox) for v in report.violations}
    assert {("answered once", "p00"), ("nothing is lost", "p00")} <= found
    assert "one pod on a workspace" in {invariant for invariant, _ in found}
    assert "key user:nobody:incoming" in {v.message for v in report.violations}
    assert "offered lost" in "\n".join(report.evidence)
    assert report.figures.duplicates >= 1
    assert report.figures.losses >= 1


async def _start_second_pod(ground: Ground) -> None:
    """What the operator never does: another pod on a workspace whose pod still runs."""
    running = next(iter(ground.node.running), None)
    assert running is not None, "no pod runs"
    twin: dict[str, Any] = copy.deepcopy(running.body)
    metadata = {"name": f"{running.name}-twin", "labels": twin["metadata"]["labels"]}
    spec = {name: value for name, value in twin["spec"].items() if name != "nodeName"}
    before = ground.node.started
    await ground.kube.call("POST", ground.objects("pods"), {"metadata": metadata, "spec": spec})
    await until(lambda: ground.node.started > before, "the second pod has started", 30)
