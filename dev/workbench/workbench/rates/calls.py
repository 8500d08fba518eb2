"""The commonest calls: what an agent's command or a worker's person asks most. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from workbench.rates.people import Person, World
from workbench.rates.words import words_of

T = TypeVar("T")
SECRETS_OF_A_PROJECT: Final = 3


@dataclass(frozen=True)
class Request:
    """One request. `key` is its idempotency key, as the command sends one with every change."""

    method: str
    path: str
    token: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """As the command sends them."""
        own = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return own | ({"idempotency-key": self.key} if self.key else {})


@dataclass(frozen=True)
class Call:
    """A kind of request. `request` makes the n-th (n counts from 0), or None where there are no more."""

    title: str
    request: Callable[[World, int], Request | None]


def _person(world: World, n: int) -> Person:
    return world.people[n % len(world.people)]


def _nth(items: Sequence[T], n: int, world: World) -> T:
    # Everybody's first, then everybody's second.
    return items[n // len(world.people) % len(items)]


def _get(path: str, **query: str) -> Callable[[World, int], Request]:
    def request(world: World, n: int) -> Request:
        person = _person(world, n)
        places = {
            "project": _nth(person.projects, n, world),
            "task": _nth(person.tasks, n, world),
            "words": words_of(n),
        }
        said = {name: value.format_map(places) for name, value in query.items()}
        return Request("GET", path.format_map(places), person.token, said)

    return request


def _change(
    method: str, path: str, body: Callable[[int], Mapping[str, Any]]
) -> Callable[[World, int], Request]:
    def request(world: World, n: int) -> Request:
        person = _person(world, n)
        project = _nth(person.projects, n, world)
        places = {"project": project, "secret": f"SECRET_{n % SECRETS_OF_A_PROJECT}"}
        key = f"{method}-{path}-{n}"
        return Request(method, path.format_map(places), person.token, {}, body(n), key)

    return request


def _deploy(world: World, n: int) -> Request | None:
    if n >= len(world.undeployed):
        return None
    one = world.undeployed[n]
    path = f"/v1/projects/{one.project}/deployments"
    return Request("POST", path, one.token, {}, {}, f"deploy-{n}")


CALLS: Final = (
    Call("GET /healthz: the way alone", lambda _world, _n: Request("GET", "/healthz")),
    Call("project list", _get("/v1/projects")),
    Call("project by name", _get("/v1/projects", name="project-0")),
    Call("project get", _get("/v1/projects/{project}")),
    Call("project status", _get("/v1/projects/{project}/status")),
    Call("project create", _change("POST", "/v1/projects", lambda n: {"name": f"made-{n}"})),
    Call("task list", _get("/v1/tasks")),
    Call("task status", _get("/v1/tasks/{task}")),
    Call("task's events", _get("/v1/tasks/{task}/events", after="0")),
    Call("deploy trigger", _deploy),
    Call(
        "secret set",
        _change(
            "PUT", "/v1/projects/{project}/secrets/{secret}", lambda n: {"value": f"value-{n}"}
        ),
    ),
    Call(
        "infra allocate",
        _change("POST", "/v1/projects/{project}/allocations", lambda n: {"service": f"s-{n}"}),
    ),
    Call("search", _get("/v1/articles", q="{words}", limit="10")),
    Call("approvals list", _get("/v1/approvals")),
)
