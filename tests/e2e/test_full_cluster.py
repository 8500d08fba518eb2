"""More sessions than places for runs, and a run that no node takes, in real pods."""

from __future__ import annotations

from collections.abc import Callable

from agentsession_testing.cluster import Product, condition, phase_of, reply_of
from agentsession_testing.release import Upgrade

NewName = Callable[[str], str]
# More than the one node has, and just what a template allows.
TOO_MUCH = {"resources": {"requests": {"cpu": "4"}}}


def test_with_one_place_everybody_gets_a_turn(
    product: Product, new_name: NewName, upgraded: Upgrade
) -> None:
    large, anna, ben = (new_name(name) for name in ("large", "anna", "ben"))
    upgraded({"operator.settings.maxConcurrentRuns": 1, "operator.settings.placementSeconds": 5})

    # A run that fits on no node has the place, until somebody else wants it.
    product.apply(product.manifest(large, prompt="hello", pod=TOO_MUCH))
    product.wait_reason(large, "Ready", "Unschedulable")
    working = product.apply(product.manifest(anna, prompt="run: sleep 5; echo annas-turn"))
    given_back = product.wait(
        large, "its place given back", lambda seen: "its place went" in why(seen)
    )
    assert condition(given_back, "Ready")["reason"] == "Unschedulable"

    # A run in a turn does not yield; as soon as it is idle it does.
    product.wait_reason(anna, "Active", "TurnRunning")
    second = product.apply(product.manifest(ben, prompt="run: echo bens-turn"))
    queued = product.wait(ben, "a position", lambda seen: "queuePosition" in seen.get("status", {}))
    assert phase_of(queued) == "Queued"
    assert "all places for runs of chats (1) are taken" in why(queued)
    assert product.event_types(ben, "Queued") == {"Normal"}
    assert "annas-turn" in reply_of(product.answer(working))
    yielded = product.wait_phase(anna, "Suspended")
    assert condition(yielded, "Suspended")["reason"] == "Yielded"
    assert "bens-turn" in reply_of(product.answer(second))
    assert "queuePosition" not in product.get(ben)["status"]


def why(seen: dict[str, object]) -> str:
    """The message of the session's Ready condition."""
    return str(condition(seen, "Ready").get("message", ""))
