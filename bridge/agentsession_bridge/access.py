"""Who is let in: numeric ids alone, nobody if the lists are empty."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agentsession_bridge.places import Place
from agentsession_core.yaml_text import read_yaml

log = structlog.get_logger(__name__)

# A username can be given up and taken by somebody else: it never decides anything.
UserId = Annotated[int, Field(gt=0, strict=True)]
GroupId = Annotated[int, Field(lt=0, strict=True)]


class AccessError(Exception):
    """The access list cannot be used; the message names the entry and what is wrong."""


class AccessList(BaseModel):
    """The people who may talk to the bot, and the groups in which they may."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    allowed_users: frozenset[UserId] = frozenset()
    allowed_groups: frozenset[GroupId] = frozenset()

    def allows(self, user_id: int, place: Place, paired: frozenset[int] = frozenset()) -> bool:
        """Whether a person may talk to the bot in a place; `paired` are people besides the list's."""
        in_place = (
            place.chat_id == user_id if place.is_private else place.chat_id in self.allowed_groups
        )
        return in_place and (user_id in self.allowed_users or user_id in paired)


def read_access(text: str) -> AccessList:
    """Read an access list from YAML.

    Raises:
        AccessError: naming the first wrong entry.
    """
    try:
        return AccessList.model_validate(read_yaml(text) or {})
    except yaml.YAMLError as error:
        raise AccessError(f"not valid YAML: {error}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        hint = (
            ": usernames are refused, since they can change hands; use the numeric id"
            if isinstance(problem["input"], str)
            else ""
        )
        raise AccessError(f"{where}: {problem['msg']}{hint}") from error


class AccessFile:
    """The list in a file, read anew when the file changes; a wrong change leaves the old list."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None
        self._list = AccessList()

    def load(self) -> AccessList:
        """Read the list for the first time.

        Raises:
            AccessError: when it cannot be read.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            raise AccessError(f"{self._path}: {error.strerror}") from error
        self._list, self._text = read_access(text), text
        return self._list

    def current(self) -> AccessList:
        """Return the list in force."""
        try:
            text = self._path.read_text(encoding="utf-8")
            if text != self._text:
                self._text = text
                self._list = read_access(text)
                log.info("access list read", users=len(self._list.allowed_users))
        except (AccessError, OSError) as error:
            log.error("access list not changed", file=str(self._path), error=str(error))
        return self._list
