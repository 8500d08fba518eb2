"""The agent is assumed hostile: its whole tour, in a real pod, with a neighbour who must not notice."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentsession_testing.cluster import Body, Product, reply_of

NewName = Callable[[str], str]
TOUR = Path(__file__).parent / "hostile" / "tour.py"
Found = dict[str, Any]


class Agent:
    """A session whose agent does what it is told."""

    def __init__(self, product: Product, name: str) -> None:
        self.product = product
        self.name = name
        encoded = base64.b64encode(TOUR.read_bytes()).decode()
        prompt = f"run: echo {encoded} | base64 -d > tour.py && echo arrived"
        self.answered = product.answer(product.apply(product.manifest(name, prompt=prompt)))
        assert "arrived" in reply_of(self.answered)

    def ask(self, prompt: str, seconds: float = 120) -> Body:
        return self.product.answer(self.product.patch(self.name, prompt=prompt), seconds)

    def tour(self, stage: str, *arguments: str) -> Found:
        """One stage, and what it found."""
        # Isolated: the traps it leaves would catch the tour itself.
        command = " ".join(["python3 -I tour.py", stage, f"{stage}.json", *arguments])
        answered = self.ask(f"run: rm -f {stage}.json; {command}")
        assert f"stage {stage} is done" in reply_of(answered), self.product.describe(
            self.name, answered
        )
        return self.read(f"{stage}.json", answered)

    def read(self, path: str, answered: Body) -> Found:
        pod = answered["status"]["podName"]
        found: Found = json.loads(self.product.kubectl("exec", pod, "--", "cat", path))
        return found


def secrets_of(product: Product) -> list[str]:
    """Everything secret in the release's namespace, so encoded that finding it proves something."""
    listed = json.loads(
        product.kubectl("get", "secrets", "-o", "json", namespace=product.names.namespace)
    )
    values = {
        base64.b64decode(value)
        for secret in listed["items"]
        if secret["type"] == "Opaque"
        for value in secret.get("data", {}).values()
    }
    assert values
    return [base64.b64encode(value[::-1]).decode() for value in sorted(values)]


def restarts(product: Product) -> dict[str, int]:
    """Pod → restarts of its containers, in the release's namespace."""
    pods = json.loads(
        product.kubectl("get", "pods", "-o", "json", namespace=product.names.namespace)
    )["items"]
    return {
        pod["metadata"]["name"]: sum(
            status["restartCount"] for status in pod["status"].get("containerStatuses", [])
        )
        for pod in pods
    }


def test_a_hostile_agents_tour(product: Product, new_name: NewName) -> None:
    before = restarts(product)
    neighbour = Agent(product, new_name("neighbour"))
    agent = Agent(product, new_name("hostile"))

    nothing_to_find(agent.tour("read", *secrets_of(product)))
    routes_refuse(agent, neighbour)
    floods_hurt_nobody(agent, neighbour)
    its_runners_death_costs_it_an_attempt(agent)
    traps_are_gone_in_the_next_run(agent)

    assert reply_of(agent.ask("hello again")), "after all that it is an ordinary session"
    assert restarts(product) == before


def nothing_to_find(found: Found) -> None:
    assert found["found"] == []
    assert found["files"] > 100, "it did look"
    assert found["memory_bytes"] > 1_000_000, "into memory, too"
    assert found["capabilities"] == "0000000000000000"
    assert found["uid"] == 1000
    assert found["root_writable"] is False
    mounts = {path.replace("/..data", "") for path in found["token_mounts"]}
    places = ("agentsession.dev/gateway", "agentsession.dev/orchestrator")
    assert all(any(place in path for place in places) for path in mounts)


def routes_refuse(agent: Agent, neighbour: Agent) -> None:
    body = neighbour.product.patch(
        neighbour.name,
        prompt="run: python3 -I tour.py turn turn.json && sleep 15; echo undisturbed",
    )
    working = neighbour.product.wait_reason(neighbour.name, "Active", "TurnRunning")
    pod = working["status"]["podName"]
    # The file appears once the neighbour's agent has asked for its turn.
    wait_for_it = "until test -s turn.json; do sleep 0.1; done; cat turn.json"
    foreign = json.loads(
        neighbour.product.kubectl("exec", pod, "--", "timeout", "30", "bash", "-c", wait_for_it)
    )["turn"]
    found = agent.tour("routes", foreign)
    served = {route: status for route, status in found["own"].items() if status < 400}
    assert served == {}
    assert set(found["own"].values()) <= {403, 404, 405, 410}
    assert found["own"][f"POST /v1/runner/turns/{foreign}/result"] == 410
    assert set(found["forged"].values()) == {401}
    assert found["impersonating"] == 410
    assert "undisturbed" in reply_of(neighbour.product.answer(body))


def floods_hurt_nobody(agent: Agent, neighbour: Agent) -> None:
    flooding = agent.product.patch(
        agent.name, prompt="run: rm -f flood.json; python3 -I tour.py flood flood.json"
    )
    meanwhile = neighbour.ask("hello neighbour", seconds=60)
    assert reply_of(meanwhile)
    answered = agent.product.answer(flooding, seconds=120)
    found = agent.read("flood.json", answered)
    assert set(found["events"]) <= {"202", "429"}
    assert found["events"]["429"] > 0
    assert set(found["models"]) <= {"200", "429"}
    assert found["models"]["429"] > 0
    assert (found["big event"], found["big result"]) == (413, 413)
    assert '"reopened": true' in found["bye in a turn"] or (
        '"reopened":true' in found["bye in a turn"]
    )


def its_runners_death_costs_it_an_attempt(agent: Agent) -> None:
    runs = agent.product.get(agent.name)["status"]["runs"]
    survivor = agent.ask(
        "run: kill -9 1; test -e killed || { touch killed; kill 1; sleep 60; }; echo still-here"
    )
    assert "still-here" in reply_of(survivor)
    assert survivor["status"]["runs"] == runs + 1, "killed with TERM: KILL does not reach process 1"


def traps_are_gone_in_the_next_run(agent: Agent) -> None:
    agent.tour("traps")
    agent.product.patch(agent.name, operatingMode="Suspended")
    agent.product.wait_phase(agent.name, "Suspended")
    agent.product.patch(agent.name, operatingMode="Running")
    found = agent.tour("look")
    assert found["sprung"] is False
    assert found["victim"] == "untouched"
    assert found["helper"] == "cat /var/run/secrets/agentsession.dev/gateway/token"
    assert found["hooks off"] is True
    assert "gateway" in found["base url"]
    assert found["servers"] == {}
    assert found["links"] == []
    assert found["left in config"] == []
    assert found["keys in environment"] == []
