"""What a template's ConfigMaps give an agent."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agentsession_gateway.given_skills import GivenSkills, read_skills
from agentsession_testing.skill_texts import skill

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "skills.yaml"


def test_the_first_of_a_name_is_taken() -> None:
    one, other = skill("pay", body="one"), skill("pay", body="other")
    given = read_skills(
        [
            ("one", {"data": {"pay.md": one, "a-b2.md": skill("a-b2")}}),
            ("two", {"data": {"pay.md": other, "z.md": skill("z")}}),
        ]
    )
    assert [(item.name, item.files[0].path) for item in given.skills] == [
        ("a-b2", "SKILL.md"),
        ("pay", "SKILL.md"),
        ("z", "SKILL.md"),
    ]
    assert given.skills[1].files[0].content == one
    assert (given.problems, given.problem) == ((), "")


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("README", skill("x"), "key README of ConfigMap team is no skill: NAME.md is expected"),
        ("Pay.md", skill("Pay"), "key Pay.md of ConfigMap team is left out: a name is"),
        ("a--b.md", skill("a--b"), "a name is"),
        (".md", skill(""), "a name is"),
        (f"{'a' * 65}.md", skill("a" * 65), "a name is"),
        ("pay.md", "How to pay.", "frontmatter"),
        ("pay.md", skill("bill"), "name is 'bill', not 'pay'"),
        ("pay.md", skill("pay", description=""), "no description"),
    ],
)
def test_what_is_unfit_is_left_out_and_named(key: str, text: str, said: str) -> None:
    given = read_skills([("team", {"data": {key: text, "good.md": skill("good")}})])
    assert [item.name for item in given.skills] == ["good"]
    assert len(given.problems) == 1
    assert said in given.problem


def test_config_maps_that_are_missing_or_empty() -> None:
    given = read_skills([("gone", None), ("empty", {}), ("null", {"data": None})])
    assert given == GivenSkills((), ("there is no ConfigMap gone",))


def test_the_example_of_the_docs_is_fit() -> None:
    config_map, template = yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8"))
    named = [skills["name"] for skills in template["spec"]["skills"]]
    assert named == [config_map["metadata"]["name"]]
    given = read_skills([(named[0], config_map)])
    assert ([item.name for item in given.skills], given.problems) == (["invoices"], ())


def test_many_problems_are_cut() -> None:
    data = {f"{number}": "x" * 100_000 for number in range(100)}
    problem = read_skills([("team", {"data": data})]).problem
    assert len(problem) == 800
    assert problem.endswith("…")
