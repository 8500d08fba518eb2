"""From `kubectl apply` to the agent's answer, in real pods with the real CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from agentsession_testing.cluster import ModelServer, Product, condition, phase_of, reply_of

NewName = Callable[[str], str]


def test_a_user_and_a_prompt_are_enough(product: Product, new_name: NewName) -> None:
    name = new_name("smallest")
    answered = product.answer(product.apply(product.manifest(name, prompt="hello")))
    status = answered["status"]
    assert status["lastTurn"]["outcome"] == "Succeeded"
    assert reply_of(answered)
    assert status["runs"] == 1
    assert status["jobName"] == f"{name}-r1"
    assert status["volumeClaimName"] == f"{name}-workspace"
    assert status["launchType"] == "cold"
    assert status["startupMilliseconds"] > 0
    assert status["usage"]["turns"] == 1
    assert status["usage"]["outputTokens"] > 0
    assert condition(answered, "Accepted")["status"] == "True"
    idle = product.wait_phase(name, "Idle")
    assert condition(idle, "Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "True",
        "reason": "RunnerConnected",
        "message": "The agent is awake.",
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }


def test_get_shows_the_columns_of_the_design(product: Product, new_name: NewName) -> None:
    name = new_name("columns")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    product.wait_phase(name, "Idle")
    head, row = (
        re.split(r"\s{2,}", line.strip())
        for line in product.kubectl("get", "agentsessions", name, "-o", "wide").splitlines()
    )
    shown = dict(zip(head, row, strict=True))
    assert list(shown) == [
        "NAME", "AGENT", "PHASE", "READY", "REASON", "ACTIVITY", "EXPIRES", "AGE",
        "USER", "POD", "TURNS", "TOKENS", "COST", "LAUNCH",
    ]  # fmt: skip
    assert shown["AGENT"] == "claude-code"
    assert shown["PHASE"] == "Idle"
    assert shown["READY"] == "True"
    assert shown["REASON"] == "RunnerConnected"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["EXPIRES"])
    assert shown["USER"] == name
    assert shown["POD"].startswith(f"{name}-r1-")
    assert shown["TURNS"] == "1"
    assert int(shown["TOKENS"]) > 0
    assert float(shown["COST"]) > 0
    assert shown["LAUNCH"] == "cold"
    for spelling in ("ags", "agentsession", "agents"):
        assert name in product.kubectl("get", spelling)


def test_describe_tells_the_story(product: Product, new_name: NewName) -> None:
    name = new_name("story")
    manifest = product.manifest(name, prompt="hello", idlePolicy={"suspendAfterSeconds": 0})
    product.answer(product.apply(manifest))
    product.wait_phase(name, "Suspended")
    product.wait_event(name, "Suspended")
    assert product.events(name) == ["WorkspaceCreated", "RunStarted", "TurnSucceeded", "Suspended"]
    described = product.kubectl("describe", "agentsession", name)
    for word in ("WorkspaceCreated", f"Started Job {name}-r1", "Answered a message from prompt"):
        assert word in described


def test_second_prompt_goes_on_in_the_same_pod_conversation_and_workspace(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("second")
    first = product.answer(
        product.apply(product.manifest(name, prompt=f"run: echo {name} > note.txt && echo written"))
    )
    assert "written" in reply_of(first)
    pod = first["status"]["podName"]
    second = product.answer(product.patch(name, prompt="run: cat note.txt"))
    assert name in reply_of(second)
    assert second["status"]["podName"] == pod
    assert second["status"]["runs"] == 1
    assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]
    seen = model_server.requests("run: cat note.txt")
    assert any(f"echo {name}" in text for request in seen for text in request["user_texts"])
    third = product.answer(product.patch(name, prompt="hello again"))
    assert third["status"]["launchType"] == "warm"


def test_the_same_prompt_again_is_no_turn_but_a_b_a_is_three(
    product: Product, new_name: NewName
) -> None:
    name = new_name("same")
    manifest = product.manifest(name, prompt="hello")
    product.answer(product.apply(manifest))
    product.apply(manifest)
    product.patch(name, user={"displayName": "Anna"})
    again = product.answer(product.patch(name, prompt="B"))
    assert again["status"]["usage"]["turns"] == 2
    back = product.answer(product.patch(name, prompt="hello"))
    assert back["status"]["usage"]["turns"] == 3


def test_suspended_session_resumes_conversation_and_files(
    product: Product, new_name: NewName, model_server: ModelServer
) -> None:
    name = new_name("resume")
    manifest = product.manifest(
        name, prompt=f"run: echo {name} > kept.txt", idlePolicy={"suspendAfterSeconds": 2}
    )
    first = product.answer(product.apply(manifest))
    asleep = product.wait_phase(name, "Suspended")
    assert condition(asleep, "Suspended")["reason"] == "Idle"
    assert "podName" not in asleep["status"]
    # By itself: the Job completes, which a deleted or killed one never does.
    product.kubectl("wait", "--for=condition=Complete", f"job/{name}-r1", "--timeout=20s")
    assert [pod.status.phase for pod in product.pods(name)] == ["Succeeded"]
    product.kubectl("get", "pvc", f"{name}-workspace")

    second = product.answer(product.patch(name, prompt="run: cat kept.txt"))
    assert name in reply_of(second)
    assert second["status"]["runs"] == 2
    assert second["status"]["launchType"] == "resume"
    assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]
    seen = model_server.requests("run: cat kept.txt")
    assert any(f"echo {name}" in text for request in seen for text in request["user_texts"])


def test_suspend_after_zero_is_one_run_per_turn(product: Product, new_name: NewName) -> None:
    name = new_name("zero")
    manifest = product.manifest(name, prompt="one", idlePolicy={"suspendAfterSeconds": 0})
    product.answer(product.apply(manifest))
    product.wait_phase(name, "Suspended")
    second = product.answer(product.patch(name, prompt="two"))
    assert second["status"]["runs"] == 2


def test_per_turn_process_mode(product: Product, new_name: NewName) -> None:
    name = new_name("perturn")
    manifest = product.manifest(name, prompt="hello", agent={"processMode": "PerTurn"})
    first = product.answer(product.apply(manifest))
    second = product.answer(product.patch(name, prompt="what did I say first?"))
    assert "hello" in reply_of(second)
    assert second["status"]["agentSessionID"] == first["status"]["agentSessionID"]


def test_idle_session_is_deleted_with_its_volume(product: Product, new_name: NewName) -> None:
    name = new_name("deleted")
    policy = {"suspendAfterSeconds": 1, "deleteAfterSeconds": 6}
    product.answer(product.apply(product.manifest(name, prompt="hello", idlePolicy=policy)))
    product.wait_gone("agentsession", name)
    product.wait_gone("pvc", f"{name}-workspace")
    product.wait_gone("job", f"{name}-r1")


def test_retained_volume_stays_and_is_adopted(product: Product, new_name: NewName) -> None:
    name = new_name("retained")
    manifest = product.manifest(
        name,
        prompt=f"run: echo {name} > kept.txt",
        workspace={"retentionPolicy": {"whenDeleted": "Retain"}},
    )
    product.answer(product.apply(manifest))
    product.kubectl("delete", "agentsession", name, "--timeout=60s")
    product.wait_gone("job", f"{name}-r1")
    product.kubectl("get", "pvc", f"{name}-workspace")
    again = product.manifest(name, prompt="run: cat kept.txt")
    assert name in reply_of(product.answer(product.apply(again)))
    claim = json.loads(product.kubectl("get", "pvc", f"{name}-workspace", "-o", "json"))
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "AgentSession"


def test_suspended_by_hand_keeps_the_message_and_answers_it_later(
    product: Product, new_name: NewName
) -> None:
    name = new_name("byhand")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    product.patch(name, operatingMode="Suspended")
    product.wait_phase(name, "Suspended")
    patched = product.patch(name, prompt="later")
    asleep = product.wait_reason(name, "Suspended", "SuspendedByUser")
    assert phase_of(asleep) == "Suspended"
    product.patch(name, operatingMode="Running")
    assert "later" in reply_of(product.answer(patched))
