"""The Agent Skills format, as far as a skill must keep to it to be given to an agent. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from agentsession_core.yaml_text import read_yaml

NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*")
DESCRIPTION_LIMIT: Final = 1024
COMPATIBILITY_LIMIT: Final = 500
FIELDS: Final = frozenset(
    {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
)
_FRONTMATTER: Final = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$(.*)\Z", re.MULTILINE | re.DOTALL)


def problem_of(name: str, text: str) -> str | None:
    """What is wrong with the skill `name` whose SKILL.md is `text`, in one sentence; None if it is fit.

    CLIs differ in what they let pass (a missing frontmatter, a name that is not the folder's); what
    one of them would leave out is unfit here.
    """
    if not NAME.fullmatch(name):
        return "a name is 1 to 64 of a-z, 0-9 and single hyphens between them"
    match = _FRONTMATTER.match(text.replace("\r\n", "\n"))
    if match is None:
        return "it does not begin with a frontmatter: --- on the first line, and again below it"
    try:
        fields = read_yaml(match.group(1))
    except yaml.YAMLError as error:
        return f"its frontmatter is no YAML: {_first_line(error)}"
    if not isinstance(fields, dict):
        return "its frontmatter has no fields: name and description are needed"
    return _wrong_fields(name, fields) or (None if match.group(2).strip() else "it has no text")


def _wrong_fields(name: str, fields: dict[Any, Any]) -> str | None:
    if unknown := sorted(str(key) for key in fields if key not in FIELDS):
        return f"its frontmatter has a field {unknown[0]!r}; there are {', '.join(sorted(FIELDS))}"
    if fields.get("name") != name:
        return f"its frontmatter's name is {_shown(fields.get('name'))}, not {name!r}"
    description = fields.get("description")
    if not isinstance(description, str) or not description.strip():
        return "it has no description: what it does and when to use it"
    if len(description) > DESCRIPTION_LIMIT:
        return f"its description has {len(description)} characters; {DESCRIPTION_LIMIT} at most"
    return _wrong_optional_fields(fields)


def _wrong_optional_fields(fields: dict[Any, Any]) -> str | None:
    for key in ("license", "compatibility", "allowed-tools"):
        if not isinstance(fields.get(key, ""), str):
            return f"its {key} is no text"
    if len(fields.get("compatibility", "")) > COMPATIBILITY_LIMIT:
        return f"its compatibility has more than {COMPATIBILITY_LIMIT} characters"
    metadata = fields.get("metadata", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        return "its metadata is no map of texts to texts"
    return None


def _shown(value: object) -> str:
    # A few lines of YAML may stand for lists that no memory holds once they are written out.
    return repr(value) if value is None or isinstance(value, str) else "no text"


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or "it cannot be read"
    return f"{said} (line {mark.line + 1})" if mark is not None else str(said)
