"""What all answers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    field_validator,
)
from pydantic_core import PydanticCustomError

from agentsession_core.naming import IDENTIFIER_PATTERN
from orchestrator_api import forms

T = TypeVar("T")


class View(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Wish(BaseModel):
    """A request's body. What is not known is refused: a typo must not be a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        if _has_nul(value):
            raise ValueError("a text may not have the character U+0000")
        return value


def _has_nul(value: Any) -> bool:
    """Whether a text in it has the one character that PostgreSQL cannot keep."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_has_nul(part) for part in value)


class Page(View, Generic[T]):
    """A part of a list; `next_cursor` is null where it ends."""

    items: Sequence[T]
    next_cursor: str | None = None


def _iso(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _no_number(name: str) -> str:
    if name.isdigit():
        raise PydanticCustomError(
            "project_name", "digits alone are a project's number; have a letter in the name"
        )
    return name


Time = Annotated[datetime, PlainSerializer(_iso, return_type=str, when_used="json")]
UserId = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=forms.NAME, max_length=63)]
# A word of digits is always a project's number: nobody may mean one project and name another.
ProjectName = Annotated[Name, AfterValidator(_no_number)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, strip_whitespace=True)]
Text = Annotated[str, Field(max_length=20_000)]
