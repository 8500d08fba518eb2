"""Every way the model upstream can fail, in pods: what a person sees, and that the next prompt works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from agentsession_testing.cluster import ModelServer, Product, condition, reply_of
from agentsession_testing.gateway_configuration import gateway_configuration

NewName = Callable[[str], str]
AUTHENTICATION = "ModelAuthenticationFailed"


@dataclass(frozen=True)
class Cause:
    """What the model server does, and the words in which a person hears of it."""

    effect: dict[str, Any]
    reason: str
    told: tuple[str, ...]
    seconds: float = 45.0


CAUSES = {
    "400": Cause({"status": 400}, "ModelRefused", ("HTTP 400", "new conversation")),
    "401": Cause({"status": 401}, AUTHENTICATION, ("HTTP 401", "gateway.models.anthropic"), 15),
    "402": Cause({"status": 402}, "ModelBillingFailed", ("HTTP 402", "pay for the account")),
    "403": Cause({"status": 403}, AUTHENTICATION, ("HTTP 403", "gateway.models.anthropic")),
    "404": Cause(
        {"status": 404}, "ModelNotFound", ("asked for model 'claude-", "spec.agent.model")
    ),
    "413": Cause({"status": 413}, "ConversationTooLong", ("HTTP 413", "new session")),
    "prompt too long": Cause(
        {"status": 400, "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        "ConversationTooLong",
        ("210000 tokens", "new session"),
    ),
    "429": Cause({"status": 429}, "ModelRateLimited", ("HTTP 429", "again later")),
    "429 with a short wait": Cause(
        {"status": 429, "retry_after": 1}, "ModelRateLimited", ("HTTP 429", "again later")
    ),
    "429 with a long wait": Cause(
        {"status": 429, "retry_after": 3600},
        "ModelRateLimited",
        ("it takes calls again at", "again later"),
        15,
    ),
    "500": Cause({"status": 500}, "ModelUnavailable", ("HTTP 500", "again later")),
    "529": Cause({"status": 529}, "ModelUnavailable", ("HTTP 529", "again later")),
    "reset": Cause({"reset": True}, "ModelUnavailable", ("HTTP 502", "cannot be reached")),
    "cut stream": Cause({"cut_mid": True}, "ModelUnavailable", ("HTTP 502", "cannot be reached")),
    "error in the stream": Cause({"error_mid": True}, "ModelUnavailable", ("HTTP 529",)),
}
STALLS = {
    "stall before the answer": {"stall_before": 300},
    "stall in the answer": {"stall_mid": 300},
}


@pytest.fixture
def failures(model_server: ModelServer) -> Iterator[ModelServer]:
    yield model_server
    model_server.mend()


def seconds_of_turn(body: dict[str, Any]) -> float:
    turn = body["status"]["lastTurn"]
    started, finished = (
        datetime.fromisoformat(turn[name].replace("Z", "+00:00"))
        for name in ("startedAt", "finishedAt")
    )
    return (finished - started).total_seconds()


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES.keys())
def test_the_turn_says_why_and_the_next_prompt_is_answered(
    product: Product, new_name: NewName, failures: ModelServer, cause: Cause
) -> None:
    name = new_name("upstream")
    # One failed run apart, a prompt of its own: other tests ask the same model server.
    failures.fail(50, text=f"fails in {name}", **cause.effect)
    product.apply(product.manifest(name, prompt=f"This fails in {name}."))
    failed = product.wait_reason(name, "Degraded", cause.reason)
    check_degraded(failed, cause.reason, cause.told, "ModelError")
    assert seconds_of_turn(failed) < cause.seconds
    assert product.event_types(name, cause.reason) == {"Warning"}
    check_mended(product, failures, name, failed)


@pytest.mark.parametrize("effect", STALLS.values(), ids=STALLS.keys())
def test_a_stall_ends_with_the_turns_time(
    product: Product, new_name: NewName, failures: ModelServer, effect: dict[str, Any]
) -> None:
    name = new_name("stall")
    failures.fail(50, text=f"stalls in {name}", **effect)
    product.apply(
        product.manifest(name, prompt=f"This stalls in {name}.", run={"turnTimeoutSeconds": 8})
    )
    failed = product.wait_reason(name, "Degraded", "TurnTimedOut")
    check_degraded(failed, "TurnTimedOut", ("run.turnTimeoutSeconds",), "TimedOut")
    assert seconds_of_turn(failed) < 8 + 8
    assert product.event_types(name, "TurnTimedOut") == {"Warning"}
    check_mended(product, failures, name, failed)


# The discard port of the gateway's own pod, where nothing listens; a name that no DNS may answer.
UNREACHABLE = {"refused": "http://127.0.0.1:9", "unknown host": "http://model-api.invalid"}


def test_an_upstream_that_is_not_there_and_a_gateway_that_is_set_right(
    product: Product, new_name: NewName
) -> None:
    name = new_name("unreachable")
    started = product.answer(product.apply(product.manifest(name, prompt="hello")))
    with gateway_configuration(product) as gateway:
        for cause, url in UNREACHABLE.items():
            gateway.set_model_url(url)
            failed = product.answer(product.patch(name, prompt=f"This one is {cause}."))
            told = ("cannot be reached (ConnectError)", "gateway.models.anthropic", "again later")
            check_degraded(failed, "ModelUnavailable", told, "ModelError")
            assert seconds_of_turn(failed) < 30
            assert product.event_types(name, "ModelUnavailable") == {"Warning"}
        gateway.restore()
        answered = product.answer(product.patch(name, prompt=f"And now it works, {name}."))
    check_answered(answered, name, started)


def check_degraded(body: dict[str, Any], reason: str, told: tuple[str, ...], outcome: str) -> None:
    degraded = condition(body, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", reason)
    for words in told:
        assert words in degraded["message"]
    assert body["status"]["lastTurn"]["outcome"] == outcome


def check_mended(
    product: Product, failures: ModelServer, name: str, failed: dict[str, Any]
) -> None:
    failures.mend()
    answered = product.answer(product.patch(name, prompt=f"And now it works, {name}."))
    check_answered(answered, name, failed)


def check_answered(answered: dict[str, Any], name: str, before: dict[str, Any]) -> None:
    assert answered["status"]["lastTurn"]["outcome"] == "Succeeded"
    assert f"And now it works, {name}." in reply_of(answered)
    assert condition(answered, "Degraded")["status"] == "False"
    # The same run goes on: a failing model costs no pod.
    assert answered["status"]["podName"] == before["status"]["podName"]
    assert answered["status"]["runs"] == 1
