from __future__ import annotations

from agentsession_runner.ledger import REMEMBERED_TURNS, Action, TurnLedger


def test_a_turns_way() -> None:
    ledger = TurnLedger()
    assert ledger.decide("t1") is Action.BEGIN
    ledger.await_turn("t1")
    assert ledger.decide("t1") is Action.IGNORE
    ledger.begin("t1")
    assert ledger.decide("t1") is Action.IGNORE
    assert ledger.decide("t2") is Action.REPLACE
    ledger.finish("t1", {"text": "x"})
    assert ledger.decide("t1") is Action.REPOST
    assert ledger.result("t1") == {"text": "x"}
    ledger.settle("t1")
    assert ledger.decide("t1") is Action.IGNORE
    assert ledger.result("t1") is None
    assert ledger.decide("t2") is Action.BEGIN


def test_it_forgets_in_the_end() -> None:
    ledger = TurnLedger()
    for number in range(REMEMBERED_TURNS + 1):
        ledger.finish(f"t{number}", {})
    assert ledger.decide("t0") is Action.BEGIN
    assert ledger.decide("t1") is Action.REPOST


def test_settling_an_unknown_turn_changes_nothing() -> None:
    ledger = TurnLedger()
    ledger.settle("t1")
    assert ledger.decide("t1") is Action.BEGIN
