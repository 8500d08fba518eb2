"""What the operator waits for before it says that it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_operator import ground as module
from agentsession_operator.cluster_errors import UnavailableError
from agentsession_operator.ground import Ground
from agentsession_operator.rights import NEEDED

ALL: list[dict[str, Any]] = [
    {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    for group, resource, verbs in NEEDED
]


class PlayedCluster:
    def __init__(self, rules: list[dict[str, Any]] | None) -> None:
        self.rules = rules

    async def own_rules(self, namespace: str) -> list[dict[str, Any]] | None:
        return self.rules

    async def served_schemas(self) -> dict[str, Any]:
        return {}


def make_ground(
    monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]] | None = None
) -> tuple[Ground, list[Exception]]:
    errors: list[Exception] = []
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(module, "missing_fields", lambda _: [])
    cluster: Any = PlayedCluster(rules)
    return Ground(cluster, ("agents",), errors.append), errors


async def learnt() -> None:
    """Nothing more to learn."""


async def test_it_is_ready_once_a_watch_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _ = make_ground(monkeypatch, ALL)
    assert "has not been read yet" in (ground.problem or "")
    await ground.begin(learnt)
    assert ground.problem == "no watch has begun yet; the log of kopf says why"
    ground.heard()
    assert ground.problem is None


async def test_rights_that_nobody_can_list_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, _ = make_ground(monkeypatch, None)
    await ground.begin(learnt)
    ground.heard()
    assert ground.problem is None


async def test_it_waits_for_an_api_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, errors = make_ground(monkeypatch, [])
    said: list[str | None] = []

    async def learn() -> None:
        said.append(ground.problem)
        if len(said) < 3:
            raise UnavailableError(503, "starting")

    await ground.begin(learn)
    assert "the start waits for the API server: HTTP 503: starting" in (said[1] or "")
    assert len(errors) == 2
    assert "lacks the right to get agentsessions.agentsession.dev" in (ground.problem or "")
