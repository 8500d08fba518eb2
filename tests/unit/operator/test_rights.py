from __future__ import annotations

from typing import Any

import pytest

from agentsession_operator.rights import NEEDED, missing_rights

ALL = [
    {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    for group, resource, verbs in NEEDED
]


def without(resource: str, verb: str) -> list[dict[str, Any]]:
    return [
        {
            **rule,
            "verbs": [v for v in rule["verbs"] if (rule["resources"], v) != ([resource], verb)],
        }
        for rule in ALL
    ]


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (ALL, []),
        ([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], []),
        (without("jobs", "create"), ["create jobs.batch"]),
        (without("pods", "watch"), ["watch pods"]),
        (
            without("agentsessions/status", "patch"),
            ["patch agentsessions/status.agentsession.dev"],
        ),
        (
            [
                *without("agentsessions/status", "patch"),
                {"apiGroups": ["agentsession.dev"], "resources": ["*/status"], "verbs": ["patch"]},
            ],
            [],
        ),
        # Of one name only: not of all.
        (
            [
                *without("jobs", "create"),
                {
                    "apiGroups": ["batch"],
                    "resources": ["jobs"],
                    "verbs": ["create"],
                    "resourceNames": ["one"],
                },
            ],
            ["create jobs.batch"],
        ),
        # Another group's kind of the same name.
        (
            [
                *without("jobs", "create"),
                {"apiGroups": [""], "resources": ["jobs"], "verbs": ["create"]},
            ],
            ["create jobs.batch"],
        ),
    ],
)
def test_what_is_missing_is_named(rules: list[dict[str, Any]], missing: list[str]) -> None:
    assert missing_rights(rules) == missing


def test_nothing_is_granted_by_no_rules() -> None:
    assert len(missing_rights([])) == sum(len(verbs) for _, _, verbs in NEEDED)
