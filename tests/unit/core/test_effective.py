"""Session, else template, else chart."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.api import AgentSessionSpec, AgentSessionTemplateSpec, AgentType
from agentsession_core.effective import Effective, merge
from agentsession_core.settings import AgentImage

IMAGES = {
    AgentType.CLAUDE_CODE: AgentImage(image="chart/claude:1"),
    AgentType.CODEX: AgentImage(image="chart/codex:1"),
}


def effective(
    session: dict[str, Any],
    template: dict[str, Any] | None = None,
    chart: dict[str, Any] | None = None,
    pinned: AgentType | None = None,
) -> Effective:
    return merge(
        AgentSessionSpec.model_validate({"user": {"id": "42"}, **session}),
        None if template is None else AgentSessionTemplateSpec.model_validate(template),
        AgentSessionTemplateSpec.model_validate(chart or {}),
        IMAGES,
        pinned,
    )


def test_nobody_says_anything() -> None:
    plain = effective({})
    assert plain.agent_type is AgentType.CLAUDE_CODE
    assert (plain.suspend_after, plain.delete_after) == (300, 86_400)
    assert (plain.turn_timeout, plain.active_deadline) == (1_800, 43_200)
    assert plain.image == AgentImage(image="chart/claude:1")


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("idlePolicy", {"suspendAfterSeconds": 0}, lambda e: e.suspend_after),
        ("idlePolicy", {"deleteAfterSeconds": 0}, lambda e: e.delete_after),
        ("run", {"turnTimeoutSeconds": 7}, lambda e: e.turn_timeout),
        ("agent", {"model": "m"}, lambda e: e.model),
    ],
)
def test_first_layer_that_says_something_wins_even_with_zero(
    field: str, value: dict[str, Any], read: Any
) -> None:
    wanted = next(iter(value.values()))
    other = {"model": "other"} if field == "agent" else {key: 99 for key in value}
    assert read(effective({field: value}, {field: other}, {field: other})) == wanted
    assert read(effective({}, {field: value}, {field: other})) == wanted
    assert read(effective({}, {}, {field: value})) == wanted
    assert read(effective({}, None, {field: value})) == wanted


def test_policies_are_merged_field_by_field() -> None:
    merged = effective(
        {"idlePolicy": {"suspendAfterSeconds": 1}}, {"idlePolicy": {"deleteAfterSeconds": 2}}
    )
    assert (merged.suspend_after, merged.delete_after) == (1, 2)


def test_a_template_may_say_where_a_value_comes_from() -> None:
    source = {"secretKeyRef": {"name": "tools", "key": "token"}}
    merged = effective(
        {},
        {"pod": {"env": [{"name": "TOKEN", "valueFrom": source}, {"name": "B", "value": "b"}]}},
        {},
    )
    assert [variable.to_api() for variable in merged.env] == [
        {"name": "B", "value": "b"},
        {"name": "TOKEN", "valueFrom": source},
    ]


def test_env_is_merged_by_name() -> None:
    merged = effective(
        {"pod": {"env": [{"name": "A", "value": "session"}]}},
        {"pod": {"env": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}]}},
        {"pod": {"env": [{"name": "C", "value": "chart"}]}},
    )
    assert {v.name: v.value for v in merged.env} == {
        "A": "session",
        "B": "template",
        "C": "chart",
    }


def test_pod_settings_of_template_hide_the_charts_one_by_one() -> None:
    merged = effective(
        {},
        {"pod": {"runtimeClassName": "gvisor"}},
        {"pod": {"runtimeClassName": "runc", "nodeSelector": {"pool": "x"}}},
    )
    assert merged.pod.runtime_class_name == "gvisor"
    assert merged.pod.node_selector == {"pool": "x"}


def test_pinned_type_survives_a_template_that_says_otherwise() -> None:
    merged = effective({}, {"agent": {"type": "codex"}}, pinned=AgentType.CLAUDE_CODE)
    assert merged.agent_type is AgentType.CLAUDE_CODE
    assert merged.image == AgentImage(image="chart/claude:1")


def test_template_image_wins_over_the_charts() -> None:
    merged = effective({}, {"image": "mine:2", "imagePullPolicy": "Always"})
    assert merged.image == AgentImage(image="mine:2", pull_policy="Always")


def test_unknown_type_has_no_image() -> None:
    assert effective({"agent": {"type": "droid"}}).image is None
