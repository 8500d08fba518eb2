"""Texts of rules: Jinja templates over the facts of a conversation."""

from __future__ import annotations

import shlex
from typing import Any

import jinja2
from jinja2 import StrictUndefined, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

PLACEHOLDERS = {
    "last_user_text": "the newest text of the person",
    "first_user_text": "the first text of the conversation",
    "history_user_texts": "list of the person's texts before the newest one",
    "n_user_texts": "how many texts the person has written",
    "n_messages": "how many messages the request carries (system messages not counted)",
    "tool_result": "the text of the last tool result of this turn",
    "model": "the model the request asks for",
    "match": "named groups of the rule's regular expression",
}


class TemplateError(ValueError):
    """A template that cannot be used; the text says why."""


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        # The output is chat text and JSON values, never HTML.
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["shell_quote"] = shlex.quote
    return environment


def check_template(text: str) -> None:
    """Refuse a text that is no template or names an unknown placeholder.

    Raises:
        TemplateError: saying what is wrong and which placeholders exist.
    """
    try:
        names = meta.find_undeclared_variables(_environment().parse(text))
        _environment().from_string(text)
    except jinja2.TemplateError as error:
        raise TemplateError(f"not a valid template: {error}") from None
    unknown = sorted(names - set(PLACEHOLDERS))
    if unknown:
        raise TemplateError(
            f"unknown placeholder {', '.join(unknown)}; known are {', '.join(PLACEHOLDERS)}"
        )


def sample_values(groups: dict[str, str]) -> dict[str, Any]:
    """Return a value for every placeholder, to try templates before a conversation exists."""
    values: dict[str, Any] = dict.fromkeys(PLACEHOLDERS, "sample")
    values |= {"history_user_texts": ["sample"], "n_user_texts": 2, "n_messages": 3}
    return values | {"match": groups}


def render(text: str, values: dict[str, Any]) -> str:
    """Render a checked template.

    Raises:
        TemplateError: when a value it needs is missing (a group that did not match).
    """
    try:
        return _environment().from_string(text).render(values)
    except jinja2.TemplateError as error:
        raise TemplateError(f"cannot be rendered: {error}") from None


def render_nested(value: Any, values: dict[str, Any]) -> Any:
    """Render every string in a JSON value; numbers, booleans and null stay as they are.

    Raises:
        TemplateError: as ``render``.
    """
    if isinstance(value, str):
        return render(value, values)
    if isinstance(value, list):
        return [render_nested(item, values) for item in value]
    if isinstance(value, dict):
        return {key: render_nested(item, values) for key, item in value.items()}
    return value


def check_nested(value: Any) -> None:
    """Check every string in a JSON value as a template.

    Raises:
        TemplateError: as ``check_template``.
    """
    if isinstance(value, str):
        check_template(value)
    elif isinstance(value, list):
        for item in value:
            check_nested(item)
    elif isinstance(value, dict):
        for item in value.values():
            check_nested(item)
