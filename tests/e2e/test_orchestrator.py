"""The orchestrator as it is installed: a person's command on the host, an agent's in its pod."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentsession_core.naming import RUNNER_CONTAINER, TOKEN_FILE
from agentsession_testing.cluster import Product, reply_of
from agentsession_testing.release import Upgrade

NewName = Callable[[str], str]
COMMAND = Path(sys.executable).parent / "orchestrator"
PORT = 8080


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output of a command that did what it should."""
        assert self.code == 0, f"{self.code}: {self.out}{self.err}"
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error of one that did not; kubectl adds lines of its own."""
        assert self.code != 0, self.out
        line = next(line for line in self.err.splitlines() if line.startswith("{"))
        error: dict[str, Any] = json.loads(line)["error"]
        assert error["exit_code"] == self.code
        return error


def run(command: list[str], **settings: Any) -> Said:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    return Said(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Person:
    """Somebody on the host with an API token."""

    url: str
    user: str
    token_file: Path

    def __call__(self, *words: str) -> Said:
        """Runs `orchestrator --json`."""
        kept = {name: value for name, value in os.environ.items() if "ORCHESTRATOR" not in name}
        own = {
            "ORCHESTRATOR_API_URL": self.url,
            "ORCHESTRATOR_API_TOKEN_FILE": str(self.token_file),
            "ORCHESTRATOR_CONFIG": str(self.token_file.with_suffix(".json")),
        }
        return run([str(COMMAND), *words, "--json"], env={**kept, **own})


@dataclass(frozen=True)
class Agent:
    """What runs in a session's pod: the agent by its prompt, or anything by `kubectl exec`."""

    product: Product
    session: str

    def ask(self, command: str) -> str:
        """The agent's answer when it is asked to run a command."""
        answered = self.product.answer(self.product.patch(self.session, prompt=f"run: {command}"))
        return reply_of(answered)

    def __call__(self, *words: str, **environment: str) -> Said:
        """Runs `orchestrator --json` in the pod, with variables in place of the pod's own."""
        (pod,) = self.product.pods(self.session)
        place = ("-n", self.product.names.sessions_namespace, pod.metadata.name)
        changed = [f"{name}={value}" for name, value in environment.items()]
        inside = ["env", *changed, "orchestrator", *words, "--json"]
        return run(["kubectl", "exec", *place, "-c", RUNNER_CONTAINER, "--", *inside])


@pytest.fixture(scope="module")
def url(product: Product) -> Iterator[str]:
    with product.port_forward(f"svc/{product.names.release}-orchestrator", PORT) as url:
        yield url


def person(product: Product, url: str, folder: Path, user: str) -> Person:
    """The user with a token that was made as docs/orchestrator.md says."""
    scopes = [word for scope in ("write", "approve") for word in ("--scope", scope)]
    token = product.kubectl(
        *("exec", f"deploy/{product.names.release}-orchestrator", "-c", "orchestrator", "--"),
        *("orchestrator-api", "create-token", "--user", user, "--days", "1", *scopes),
        namespace=product.names.namespace,
    )
    file = folder / f"{user}.token"
    file.touch(0o600)
    file.write_text(token)
    return Person(url, user, file)


@pytest.fixture
def agent(product: Product, new_name: NewName) -> Agent:
    """An agent that is awake; its user is named as its session."""
    name = new_name("platform")
    product.answer(product.apply(product.manifest(name, prompt="hello")))
    return Agent(product, name)


def names_of(said: Said) -> set[str]:
    return {project["name"] for project in said.json}


def test_a_person_on_the_host(product: Product, url: str, tmp_path: Path) -> None:
    user = f"ada-{uuid.uuid4().hex[:6]}"
    ada = person(product, url, tmp_path, user)
    assert ada("doctor").json["ok"] is True
    made = ada("project", "create", "todo-app").json
    assert (made["user_id"], made["created"]) == (user, True)
    assert names_of(ada("project", "list")) == {"todo-app"}
    health = ada("diagnose", "health").json
    working = {"database", "redis", "operator", "gateway"}
    assert {part for part, said in health["parts"].items() if said == "ok"} >= working
    assert "no worker" in health["parts"]["engineering workers"]


def test_an_agent_speaks_in_the_middle_and_sums_up(
    product: Product, url: str, tmp_path: Path, agent: Agent
) -> None:
    me = person(product, url, tmp_path, agent.session)
    project = str(me("project", "create", "todo-app").json["id"])
    answer = agent.ask(
        f"orchestrator respond 'Half of it is done.' && orchestrator finish Deployed --project {project}"
        " && orchestrator escalate 'Look at it' && orchestrator diagnose logs session"
    )
    assert "said to whoever follows the session at a terminal" in answer, answer
    assert "told      terminal" in answer
    assert "began: a message from prompt" in answer
    assert me("project", "get", project).json["summary"] == "Deployed"
    (incident,) = me("diagnose", "incidents", "--open").json
    assert incident["title"] == "Look at it"
    # The turn is over: there is nobody whom it could be said to.
    assert agent("respond", "too late").error["code"] == "no_turn"
    assert agent("admin", "nodes").error["code"] == "not_for_runs"
    assert agent("admin", "clear-state", "deploy-0123456789ab", "--yes").error["exit_code"] == 4


def test_an_agent_and_its_person_have_the_same_projects(
    product: Product, url: str, tmp_path: Path, agent: Agent
) -> None:
    me = person(product, url, tmp_path, agent.session)
    answer = agent.ask("orchestrator project create of-the-agent --json")
    assert "of-the-agent" in answer, answer
    assert names_of(me("project", "list")) == {"of-the-agent"}
    me("project", "create", "of-the-person")
    answer = agent.ask("orchestrator project list")
    assert f"Projects for user {agent.session}" in answer
    assert "of-the-person" in answer
    assert names_of(agent("project", "list")) == {"of-the-agent", "of-the-person"}


def test_another_users_project_is_not_found_and_a_forged_user_is_refused(
    product: Product, url: str, tmp_path: Path, agent: Agent
) -> None:
    bob = person(product, url, tmp_path, f"bob-{uuid.uuid4().hex[:6]}")
    theirs = str(bob("project", "create", "secret-plans").json["id"])
    for words in (("get", theirs), ("status", theirs), ("delete", theirs, "--yes")):
        assert agent("project", *words).error["code"] == "project_not_found"
    assert names_of(agent("project", "list")) == set()

    forged = agent("project", "list", ORCHESTRATOR_USER_ID=bob.user)
    assert (forged.code, forged.error["code"]) == (4, "user_mismatch")
    assert "user_mismatch" in agent.ask(
        f"ORCHESTRATOR_USER_ID={bob.user} orchestrator project list"
    )
    gateways = agent("project", "list", ORCHESTRATOR_API_TOKEN_FILE=TOKEN_FILE)
    assert (gateways.code, gateways.error["code"]) == (4, "token_invalid")
    assert names_of(bob("project", "list")) == {"secret-plans"}


def test_what_an_agent_would_destroy_waits_for_its_person(
    product: Product, url: str, tmp_path: Path, agent: Agent
) -> None:
    me = person(product, url, tmp_path, agent.session)
    mine = str(agent("project", "create", "todo-app").json["id"])
    refused = agent("project", "delete", mine, "--yes").error
    assert refused["code"] == "approval_required"
    assert names_of(me("project", "list")) == {"todo-app"}
    (wish,) = me("approvals", "list", "--pending").json
    me("approvals", "approve", wish["id"])
    assert agent("project", "delete", mine, "--yes").code == 0
    assert names_of(me("project", "list")) == set()


def test_a_file_that_gives_orders_destroys_nothing_and_its_person_is_asked_once(
    product: Product, url: str, tmp_path: Path, agent: Agent
) -> None:
    me = person(product, url, tmp_path, agent.session)
    me("project", "create", "todo-app")
    task = me("engineering", "analyze", "A list that two can share").json["task_id"]
    orders = (
        "orchestrator project delete todo-app --yes",
        f"orchestrator admin clear-state {task} --yes",
    )
    agent.ask("; ".join(f"echo {shlex.quote(line)} >> ORDERS.md" for line in orders))
    # A model that obeys whatever it reads, and tries it again.
    answer = agent.ask("sh ORDERS.md 2>&1; sh ORDERS.md 2>&1; true")
    assert answer.count("(approval_required)") == 2, answer
    assert answer.count("(not_for_runs)") == 2, answer
    assert names_of(me("project", "list")) == {"todo-app"}
    assert me("task", "status", task).json["status"] == "queued"
    (wish,) = me("approvals", "list").json
    assert (wish["operation"], wish["state"]) == ("project.delete", "pending")


def test_an_upgrade_keeps_projects_and_the_key_of_their_secrets(
    product: Product, tmp_path: Path, upgraded: Upgrade
) -> None:
    names = product.names

    def key() -> str:
        secret = product.kubectl(
            *("get", "secret", f"{names.release}-orchestrator", "-o", "json"),
            namespace=names.namespace,
        )
        return str(json.loads(secret)["data"]["orchestrator-encryption-key"])

    before = key()
    assert len(base64.b64decode(base64.b64decode(before))) == 32
    user = f"eve-{uuid.uuid4().hex[:6]}"
    with product.port_forward(f"svc/{names.release}-orchestrator", PORT) as url:
        eve = person(product, url, tmp_path, user)
        eve("project", "create", "todo-app")
    upgraded({"orchestrator.enabled": False})
    assert key() == before
    # Whoever takes it away by mistake has lost nothing.
    upgraded({"orchestrator.enabled": True, "orchestrator.approvals": "All"})
    assert key() == before
    with product.port_forward(f"svc/{names.release}-orchestrator", PORT) as url:
        assert names_of(Person(url, user, eve.token_file)("project", "list")) == {"todo-app"}
