"""A new agent image and a new template under live sessions: drained at turn's end, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from agentsession_testing.cluster import ModelServer, Product, condition, reply_of

NewName = Callable[[str], str]
MODEL = "claude-opus-5-5"


def agent_image(product: Product, job: str) -> str:
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    return product.kubectl("get", "job", job, "-o", path)


class TestTemplate:
    def test_idle_runs_end_and_the_next_message_finds_the_new_settings(
        self, product: Product, new_name: NewName, model_server: ModelServer
    ) -> None:
        name = new_name("template")
        with product.applied(product.template(name)):
            manifest = product.manifest(name, prompt="hello", templateRef={"name": name})
            first = product.answer(product.apply(manifest))
            product.wait_phase(name, "Idle")
            product.apply(product.template(name, agent={"model": MODEL}, instructions="Be brief."))
            asleep = product.wait_reason(name, "Suspended", "Outdated")
            assert "have changed" in condition(asleep, "Suspended")["message"]
            product.wait_event(name, "Suspended")
            second = product.answer(product.patch(name, prompt=f"after the change of {name}"))
            assert second["status"]["runs"] == 2
            assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]
            assert second["status"]["effective"]["model"] == MODEL
            (seen,) = model_server.requests(f"after the change of {name}")
            assert seen["model"] == MODEL

    def test_a_running_turn_ends_first_and_what_waits_is_the_next_runs(
        self, product: Product, new_name: NewName
    ) -> None:
        name = new_name("working")
        with product.applied(product.template(name)):
            manifest = product.manifest(
                name, prompt="run: sleep 6; echo first-done", templateRef={"name": name}
            )
            body = product.apply(manifest)
            product.wait_reason(name, "Active", "TurnRunning")
            product.apply(product.template(name, agent={"model": MODEL}))
            behind = product.patch(name, prompt="run: echo second-done")
            first = product.answer(body)
            assert "first-done" in reply_of(first)
            assert first["status"]["runs"] == 1, "a live run keeps what it started with"
            second = product.answer(behind)
            assert "second-done" in reply_of(second)
            assert second["status"]["runs"] == 2
            assert second["status"]["usage"]["turns"] == 2

    def test_one_after_the_other(self, product: Product, new_name: NewName) -> None:
        template = new_name("many")
        with product.applied(product.template(template)):
            names = [new_name("many") for _ in range(3)]
            for name in names:
                product.apply(
                    product.manifest(name, prompt="hello", templateRef={"name": template})
                )
            for name in names:
                product.wait_phase(name, "Idle")
            product.apply(product.template(template, instructions="Be brief."))
            ended = []
            for name in names:
                asleep = product.wait_reason(name, "Suspended", "Outdated")
                ended.append(asleep["status"]["conditions"])
            assert len(ended) == len(names)

    def test_unfit_settings_leave_a_live_run_alone(
        self, product: Product, new_name: NewName
    ) -> None:
        name = new_name("unfit")
        with product.applied(product.template(name)):
            manifest = product.manifest(name, prompt="hello", templateRef={"name": name})
            product.answer(product.apply(manifest))
            broken = product.template(name, run={"turnTimeoutSeconds": 50_000})
            product.apply(broken)
            refused = product.wait_reason(name, "Accepted", "InvalidRunPolicy")
            assert condition(refused, "Ready")["reason"] == "RunnerConnected"
            answered = product.answer(product.patch(name, prompt="still there?"))
            assert answered["status"]["runs"] == 1


def test_helm_upgrade_to_a_new_agent_image(
    product: Product, new_name: NewName, upgraded: Callable[..., None]
) -> None:
    tag = os.environ.get("AGENTSESSION_SECOND_AGENT_TAG")
    if tag is None:
        pytest.skip("there is one agent image only: make test names a second one locally")
    idle, working = new_name("idle"), new_name("working")
    before = product.answer(product.apply(product.manifest(idle, prompt="hello")))
    old = agent_image(product, f"{idle}-r1")
    body = product.apply(product.manifest(working, prompt="run: sleep 25; echo survived-it"))
    product.wait_reason(working, "Active", "TurnRunning")
    behind = product.patch(working, prompt="run: echo and-this-too")
    upgraded({"images.agent.tag": tag})

    survived = product.answer(body, seconds=90)
    assert "survived-it" in reply_of(survived)
    assert survived["status"]["runs"] == 1, "the gateway's restart did not cost the run"
    second = product.answer(behind, seconds=90)
    assert "and-this-too" in reply_of(second)
    assert second["status"]["usage"]["turns"] == 2
    new = agent_image(product, second["status"]["jobName"])
    assert (old.endswith(tag), new.endswith(tag)) == (False, True)

    product.wait_reason(idle, "Suspended", "Outdated", seconds=90)
    after = product.answer(product.patch(idle, prompt="hello again"))
    assert agent_image(product, after["status"]["jobName"]) == new
    assert after["status"]["agentSessionID"] == before["status"]["agentSessionID"]
