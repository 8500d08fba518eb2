"""The skills that a template's ConfigMaps hold, and what is wrong with the others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentsession_core.wire import Skill, SkillFile
from agentsession_gateway.skill_format import problem_of

SUFFIX: Final = ".md"
PROBLEM_LIMIT: Final = 800
SHOWN_NAME_LIMIT: Final = 80


@dataclass(frozen=True)
class GivenSkills:
    """Skills by name, and one sentence for each thing that is none."""

    skills: tuple[Skill, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """All problems in at most 800 characters; "" where there are none."""
        text = "; ".join(self.problems)
        return text if len(text) <= PROBLEM_LIMIT else text[: PROBLEM_LIMIT - 1] + "…"


def read_skills(config_maps: Sequence[tuple[str, Mapping[str, Any] | None]]) -> GivenSkills:
    """The skills of ConfigMaps, (name, object or None if it is missing): each key NAME.md is skill NAME.

    Of two skills of one name the one whose ConfigMap is named first is taken.
    """
    found: dict[str, Skill] = {}
    problems: list[str] = []
    for config_map, body in config_maps:
        if body is None:
            problems.append(f"there is no ConfigMap {config_map}")
            continue
        for item in _read(config_map, body):
            if isinstance(item, str):
                problems.append(item)
            else:
                found.setdefault(item.name, item)
    return GivenSkills(tuple(found[name] for name in sorted(found)), tuple(problems))


def _read(config_map: str, body: Mapping[str, Any]) -> Iterator[Skill | str]:
    for key, text in sorted((body.get("data") or {}).items()):
        where = f"key {key[:SHOWN_NAME_LIMIT]} of ConfigMap {config_map}"
        name = key.removesuffix(SUFFIX)
        if name == key:
            yield f"{where} is no skill: NAME.md is expected"
        elif problem := problem_of(name, text):
            yield f"{where} is left out: {problem}"
        else:
            yield Skill(name=name, files=(SkillFile(path="SKILL.md", content=text),))
