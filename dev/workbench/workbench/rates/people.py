"""Who calls in a bench, and what is theirs. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A user: an API token, the numbers of projects and the ids of tasks."""

    user: str
    token: str
    projects: tuple[int, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Undeployed:
    """A project that can be deployed and never was."""

    token: str
    project: int


@dataclass(frozen=True)
class World:
    """Everybody, and what can still be deployed: of one project one deployment goes on at a time."""

    people: tuple[Person, ...]
    undeployed: tuple[Undeployed, ...]
