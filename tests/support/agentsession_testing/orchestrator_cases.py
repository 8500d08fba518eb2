"""Every command once, as people would write it, with what the API answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentsession_testing.orchestrator_samples import (
    ALLOCATION,
    APPROVAL,
    ARTICLE,
    BEGAN,
    COMMAND,
    DEPLOY_ID,
    DEPLOYMENT,
    DONE,
    ENDED,
    EVENT,
    HEALTH,
    INCIDENT,
    LATER,
    LOG,
    NODES,
    PROJECT,
    READINESS,
    RESPONSE,
    SECRET,
    SERVER,
    STATUS,
    SUMMARY,
    TASK,
    TASK_ID,
    TOKEN,
    WHOAMI,
    events,
    page,
)


@dataclass(frozen=True)
class Case:
    """A command line (without `orchestrator`), what the API answers, and standard input."""

    line: str
    answers: dict[str, Any] = field(default_factory=dict)
    stdin: str = ""


TASK_PATH = f"/v1/tasks/{TASK_ID}"
DEPLOY_PATH = f"/v1/tasks/{DEPLOY_ID}"
DEPLOY_TASK = {**DONE, "id": DEPLOY_ID, "kind": "deploy", "result": {}}
CLEAR = {**COMMAND, "kind": "clear-state", "node": ""}
OPENED = {**INCIDENT, "notified": "chat"}
DECIDED = {**APPROVAL, "state": "approved", "decided_by": "token:0123456789ab"}
MADE_TOKEN = {**TOKEN, "token": "orc_example"}


def graph(name: str) -> dict[str, Case]:
    return {
        f"{name} nodes": Case(f"{name} nodes", {"GET /v1/graphs/nodes": NODES}),
        f"{name} trigger-node": Case(
            f"{name} trigger-node developer {TASK_ID}", {"POST /v1/graphs/commands": COMMAND}
        ),
        f"{name} clear-state": Case(
            f"{name} clear-state {TASK_ID} --yes", {"POST /v1/graphs/commands": CLEAR}
        ),
        f"{name} commands": Case(
            f"{name} commands --task {TASK_ID} --limit 5",
            {"GET /v1/graphs/commands": page(COMMAND, {**CLEAR, "message": "gone"})},
        ),
    }


CASES = {
    "project list": Case("project list", {"GET /v1/projects": page(PROJECT)}),
    "project get": Case("project get 42", {"GET /v1/projects/42": PROJECT}),
    "project create": Case("project create todo-app", {"POST /v1/projects": PROJECT}),
    "project update": Case(
        "project update 42 --name todo", {"PATCH /v1/projects/42": {**PROJECT, "name": "todo"}}
    ),
    "project status": Case("project status 42", {"GET /v1/projects/42/status": STATUS}),
    "project delete": Case("project delete 42 --yes", {"DELETE /v1/projects/42": None}),
    "secret set": Case(
        "secret set 42 DATABASE_URL",
        {"PUT /v1/projects/42/secrets/DATABASE_URL": SECRET},
        "a-value\n",
    ),
    "secret list": Case("secret list 42", {"GET /v1/projects/42/secrets": page(SECRET)}),
    "secret unset": Case(
        "secret unset 42 DATABASE_URL --yes", {"DELETE /v1/projects/42/secrets/DATABASE_URL": None}
    ),
    "deploy check": Case("deploy check 42", {"GET /v1/projects/42/deployments/check": READINESS}),
    "deploy trigger": Case("deploy trigger 42", {"POST /v1/projects/42/deployments": DEPLOYMENT}),
    "deploy rollback": Case(
        "deploy rollback 42 --yes",
        {"POST /v1/projects/42/deployments/rollback": {**DEPLOYMENT, "rollback_of": 2}},
    ),
    "deploy status": Case(f"deploy status {DEPLOY_ID}", {f"GET {DEPLOY_PATH}": DEPLOY_TASK}),
    "deploy list": Case("deploy list 42", {"GET /v1/projects/42/deployments": page(DEPLOYMENT)}),
    "deploy logs": Case(
        "deploy logs 42 --lines 2",
        {"GET /v1/projects/42/deployments/logs": page(BEGAN, ENDED)},
    ),
    "infra list": Case(
        "infra list", {"GET /v1/servers": page(SERVER), "GET /v1/allocations": page(ALLOCATION)}
    ),
    "infra servers": Case("infra servers", {"GET /v1/servers": page(SERVER)}),
    "infra servers add": Case(
        "infra servers add vps-1 --host vps-1.example.com", {"POST /v1/servers": SERVER}
    ),
    "infra servers remove": Case(
        "infra servers remove vps-1 --yes", {"DELETE /v1/servers/vps-1": None}
    ),
    "infra allocations": Case("infra allocations", {"GET /v1/allocations": page(ALLOCATION)}),
    "infra allocate": Case(
        "infra allocate 42", {"POST /v1/projects/42/allocations": {**ALLOCATION, "created": True}}
    ),
    "infra allocate-port": Case(
        "infra allocate-port 42 20000 --server vps-1",
        {"POST /v1/projects/42/allocations": {**ALLOCATION, "created": True}},
    ),
    "infra release": Case("infra release 7 --yes", {"DELETE /v1/allocations/7": None}),
    "engineering analyze": Case(
        "engineering analyze Lists --project 42", {"POST /v1/tasks": {**TASK, "kind": "analysis"}}
    ),
    "engineering trigger": Case("engineering trigger 42 Lists", {"POST /v1/tasks": TASK}),
    "engineering status": Case(f"engineering status {TASK_ID}", {f"GET {TASK_PATH}": TASK}),
    "engineering pr": Case(f"engineering pr {TASK_ID}", {f"GET {TASK_PATH}": DONE}),
    "task list": Case("task list --kind deploy --project 42", {"GET /v1/tasks": page(DONE, TASK)}),
    "task status": Case(
        f"task status {TASK_ID} --follow",
        {f"GET {TASK_PATH}/events": events(EVENT, BEGAN, ENDED), f"GET {TASK_PATH}": DONE},
    ),
    "task cancel": Case(
        f"task cancel {TASK_ID}",
        {f"POST {TASK_PATH}/cancel": {**TASK, "state": "cancelled", "finished_at": EVENT["at"]}},
    ),
    "diagnose health": Case("diagnose health", {"GET /v1/health": HEALTH}),
    "diagnose logs": Case("diagnose logs web --project 42", {"GET /v1/logs/web": LOG}),
    "diagnose incidents": Case("diagnose incidents --open", {"GET /v1/incidents": page(INCIDENT)}),
    "diagnose resolve": Case(
        "diagnose resolve 5",
        {"POST /v1/incidents/5/resolve": {**INCIDENT, "state": "resolved", "resolved_at": LATER}},
    ),
    "respond": Case("respond -", {"POST /v1/responses": RESPONSE}, "The *tests* pass.\n"),
    "finish": Case("finish Deployed --project 42", {"POST /v1/summaries": SUMMARY}),
    "search": Case("search services", {"GET /v1/articles": page(ARTICLE)}),
    "escalate": Case("escalate Broken --project 42", {"POST /v1/incidents": OPENED}),
    **graph("admin"),
    **graph("graph"),
    "approvals list": Case("approvals list --pending", {"GET /v1/approvals": page(APPROVAL)}),
    "approvals get": Case(
        "approvals get 0123456789ab", {"GET /v1/approvals/0123456789ab": APPROVAL}
    ),
    "approvals approve": Case(
        "approvals approve 0123456789ab", {"POST /v1/approvals/0123456789ab/approve": DECIDED}
    ),
    "approvals deny": Case(
        "approvals deny 0123456789ab",
        {"POST /v1/approvals/0123456789ab/deny": {**DECIDED, "state": "denied"}},
    ),
    "token list": Case("token list", {"GET /v1/tokens": page(TOKEN)}),
    "token create": Case("token create ci --scope read", {"POST /v1/tokens": MADE_TOKEN}),
    "token revoke": Case(
        "token revoke 0123456789ab",
        {
            "DELETE /v1/tokens/0123456789ab": {
                "id": "0123456789ab",
                "made_with_it": ["ba9876543210"],
            }
        },
    ),
    "config show": Case("config show"),
    "config set": Case("config set user ada"),
    "config unset": Case("config unset user"),
    "doctor": Case("doctor", {"GET /v1/tokens/self": WHOAMI}),
    "version": Case("version"),
}
