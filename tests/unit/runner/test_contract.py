"""The runner's plain objects against core's models of the protocol, in both directions."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsession_core import wire
from agentsession_runner import hello, orders, reports
from agentsession_runner.config import read_config
from agentsession_runner.event_sender import BATCH_EVENTS, EventBuffer
from agentsession_runner.hello import hello_body

M = TypeVar("M", bound=wire.WireModel)


def built(model: type[M], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Models of these fields, by name: `st.builds` would add a value of its own per alias."""
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=50)
SKILLS = built(
    wire.Skill,
    name=TEXTS,
    files=st.lists(built(wire.SkillFile, path=TEXTS, content=TEXTS), max_size=2).map(tuple),
)
WELCOMES = built(
    wire.Welcome,
    protocol=st.just(wire.PROTOCOL),
    run=TEXTS,
    conversation=st.integers(min_value=0),
    agent_session_id=st.none() | TEXTS,
    model=st.none() | TEXTS,
    args=st.lists(TEXTS, max_size=3).map(tuple),
    process_mode=st.sampled_from(["Persistent", "PerTurn"]),
    instructions=TEXTS,
    skills=st.lists(SKILLS, max_size=2).map(tuple),
    drained=st.booleans(),
)
ATTACHMENTS = built(
    wire.TurnFile,
    id=TEXTS,
    name=TEXTS,
    size=st.none() | st.integers(min_value=0),
    kind=st.sampled_from(["document", "photo", "voice"]),
)
MESSAGES = built(
    wire.TurnMessage,
    id=TEXTS,
    text=TEXTS,
    files=st.lists(TEXTS, max_size=2).map(tuple),
    attachments=st.lists(ATTACHMENTS, max_size=2).map(tuple),
)
TURNS = built(
    wire.TurnOrder,
    turn=TEXTS,
    attempt=st.integers(min_value=1),
    conversation=st.integers(min_value=0),
    messages=st.lists(MESSAGES, max_size=3).map(tuple),
    remaining_seconds=st.floats(allow_nan=False, allow_infinity=False),
)
PROBLEMS = st.builds(reports.Problem, code=TEXTS, message=st.text(max_size=5000))
REPORTS = st.builds(
    reports.TurnReport,
    outcome=st.sampled_from(typing.get_args(reports.Outcome)),
    text=st.text(),
    agent_session_id=st.none() | TEXTS,
    problem=st.none() | PROBLEMS,
    files=st.lists(st.integers(0, 9), max_size=3).map(tuple),
)


def as_plain(model: wire.WireModel) -> Any:
    """What the model looks like after its way over the wire."""
    return json.loads(json.dumps(model.to_wire()))


def declared(model: type[wire.WireModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_constants_agree() -> None:
    assert hello.PROTOCOL == wire.PROTOCOL
    assert reports.EVENT_LIMIT_BYTES == wire.EVENT_LIMIT_BYTES
    assert reports.RESULT_LIMIT_BYTES == wire.RESULT_LIMIT_BYTES
    assert typing.get_args(reports.Outcome) == typing.get_args(wire.Outcome)


def test_hello_is_a_hello() -> None:
    config = read_config(
        {
            "AGENTSESSION_GATEWAY_URL": "http://gateway",
            "AGENT_TYPE": "claude-code",
            "AGENTSESSION_CLI_VERSION": "2" * 500,
        }
    )
    body = hello_body(config, 0.1234)
    assert set(body) == declared(wire.Hello)
    assert wire.Hello.model_validate(body).agent_type == "claude-code"
    assert wire.Hello.model_validate(body).uptime_seconds == 0.123
    for unusable in (None, -1.0, 1e9):
        assert wire.Hello.model_validate(hello_body(config, unusable)).uptime_seconds is None


@given(model=WELCOMES)
def test_every_welcome_is_understood(model: wire.Welcome) -> None:
    parsed = orders.parse_welcome(as_plain(model))
    for name in ("run", "conversation", "agent_session_id", "model", "args", "process_mode"):
        assert getattr(parsed, name) == getattr(model, name)
    assert parsed.instructions == model.instructions
    assert [(skill.name, skill.files) for skill in parsed.skills] == [
        (skill.name, tuple((file.path, file.content) for file in skill.files))
        for skill in model.skills
    ]


@given(model=TURNS)
def test_every_turn_is_understood(model: wire.TurnOrder) -> None:
    parsed = orders.parse_order("turn", as_plain(model))
    assert isinstance(parsed, orders.TurnOrder)
    assert dataclasses.asdict(parsed) == model.model_dump()


@given(model=built(wire.CancelOrder, turn=TEXTS))
def test_every_cancel_is_understood(model: wire.CancelOrder) -> None:
    assert orders.parse_order("cancel", as_plain(model)) == orders.CancelOrder(model.turn)


def test_a_drain_is_understood() -> None:
    assert orders.parse_order("drain", as_plain(wire.DrainOrder())) == orders.DrainOrder()


@given(report=REPORTS)
def test_every_result_is_a_result(report: reports.TurnReport) -> None:
    body = reports.result_object(report)
    assert set(body) == declared(wire.TurnResult)
    model = wire.TurnResult.model_validate_json(reports.encode(body))
    assert model.outcome == report.outcome
    assert (model.error is None) == (report.problem is None)
    if model.error is not None:
        assert set(body["error"]) == declared(wire.ResultError)


@given(
    texts=st.lists(st.text(max_size=30), max_size=20),
    tools=st.lists(st.tuples(TEXTS, TEXTS), max_size=5),
)
def test_every_batch_is_a_batch(texts: list[str], tools: list[tuple[str, str]]) -> None:
    buffer = EventBuffer()
    for text in texts:
        buffer.add_text(text)
    for name, summary in tools:
        buffer.add("tool", {"name": name, "summary": summary})
    buffer.add("state", {"agentSessionID": "x"})
    body = {"events": buffer.take()}
    model = wire.EventBatch.model_validate_json(reports.encode(body))
    assert [event.seq for event in model.events] == list(range(len(model.events)))
    assert all(set(event) == declared(wire.TurnEvent) for event in body["events"])


def test_a_full_batch_is_within_the_models_limit() -> None:
    buffer = EventBuffer()
    for number in range(BATCH_EVENTS * 2):
        buffer.add("tool", {"name": "x", "summary": str(number)})
    assert len(wire.EventBatch.model_validate({"events": buffer.take()}).events) == BATCH_EVENTS


@pytest.mark.parametrize("kind", ["delta", "tool", "state"])
def test_the_kinds_it_sends_exist(kind: str) -> None:
    assert wire.EventKind(kind)
