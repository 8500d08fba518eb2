"""Answers of the API, as the commands get them."""

from __future__ import annotations

from typing import Any

AT = "2026-11-25T09:00:00.000Z"
LATER = "2026-11-25T09:15:00.000Z"
TASK_ID = "engineering-0123456789ab"
DEPLOY_ID = "deploy-0123456789ab"
QUEUED = "waits in its queue: no worker has taken it yet"

PROJECT = {
    "id": 42,
    "name": "todo-app",
    "description": "Lists of things to do",
    "repository_url": "https://git.example.com/ada/todo-app",
    "user_id": "ada",
    "status": "created",
    "summary": "Deployed 1.4",
    "created_at": AT,
    "updated_at": LATER,
}
TASK = {
    "id": TASK_ID,
    "kind": "engineering",
    "project_id": 42,
    "request": "Add a list of what is done",
    "state": "queued",
    "standing": QUEUED,
    "worker": None,
    "cancel_requested": False,
    "result": {},
    "last_seq": 1,
    "created_at": AT,
    "started_at": None,
    "finished_at": None,
}
DONE = {
    **TASK,
    "state": "succeeded",
    "standing": "succeeded (worker w-0)",
    "worker": "w-0",
    "result": {"pr": "https://git.example.com/ada/todo-app/pulls/7"},
    "last_seq": 3,
    "started_at": AT,
    "finished_at": LATER,
}
FAILED = {**DONE, "state": "failed", "standing": "failed (worker w-0)", "result": {}}
EVENT = {"seq": 1, "at": AT, "kind": "queued", "message": "queued"}
BEGAN = {"seq": 2, "at": AT, "kind": "running", "message": "began"}
ENDED = {"seq": 3, "at": LATER, "kind": "succeeded", "message": "the tests pass"}
DEPLOYMENT = {
    "number": 3,
    "project_id": 42,
    "task_id": DEPLOY_ID,
    "status": "queued",
    "standing": QUEUED,
    "image": "",
    "repository_url": "https://git.example.com/todo-app",
    "revision": "0123456789abcdef0123456789abcdef01234567",
    "rollback_of": None,
    "url": None,
    "created_at": AT,
}
SERVER = {
    "name": "vps-1",
    "kind": "ssh",
    "host": "vps-1.example.com",
    "first_port": 20000,
    "last_port": 20999,
    "free_ports": 999,
    "created_at": AT,
}
ALLOCATION = {
    "id": 7,
    "project_id": 42,
    "service": "web",
    "server": "vps-1",
    "host": "vps-1.example.com",
    "port": 20000,
    "created_at": AT,
    "created": None,
}
SECRET = {"name": "DATABASE_URL", "version": 2, "created_at": AT, "updated_at": LATER}
INCIDENT = {
    "id": 5,
    "project_id": 42,
    "title": "It does not start",
    "description": "Tried three times.",
    "state": "open",
    "opened_by": "run:uid/1",
    "created_at": AT,
    "resolved_at": None,
}
ARTICLE = {
    "id": 9,
    "title": "How we name services",
    "body": "After what they do.",
    "shared": True,
    "created_at": AT,
    "updated_at": AT,
}
APPROVAL = {
    "id": "0123456789ab",
    "operation": "project.delete",
    "summary": "delete project todo-app (42) with all that it has",
    "arguments": {"path": {"project_id": "42"}, "query": {}, "body": None},
    "requested_by": "run:uid/1",
    "state": "pending",
    "created_at": AT,
    "expires_at": LATER,
    "decided_at": None,
    "decided_by": "",
}
TOKEN = {
    "id": "0123456789ab",
    "user_id": "ada",
    "name": "ci",
    "scopes": ["read"],
    "created_by": "token:ba9876543210",
    "created_at": AT,
    "expires_at": None,
    "last_used_at": LATER,
    "revoked_at": None,
}
COMMAND = {
    "id": "0123456789ab",
    "kind": "trigger-node",
    "graph": "engineering",
    "node": "developer",
    "task_id": TASK_ID,
    "state": "queued",
    "standing": "waits in its queue: no worker of the engineering graph has reported",
    "message": "",
    "asked_by": "token:0123456789ab",
    "created_at": AT,
    "finished_at": None,
}
NODES = {
    "items": [
        {
            "graph": "engineering",
            "node": "developer",
            "worker": "w-0",
            "alive": True,
            "seen_at": AT,
        }
    ],
    "standing": {
        "engineering": "worker w-0 of the engineering graph reported 3 s ago",
        "devops": "no worker of the devops graph has reported",
    },
}
LOG = {
    "items": [{"id": "1", "at": AT, "kind": "log", "message": "pulled \x1b[2J"}],
    "next_cursor": None,
    "of": "deployment",
    "name": "todo-app",
    "project_id": 42,
    "task_id": DEPLOY_ID,
    "standing": "running, worker w-0",
}
SUMMARY = {
    "id": 11,
    "project_id": 42,
    "session_uid": "uid",
    "text": "Deployed todo-app 1.4",
    "written_by": "run:uid/1",
    "created_at": AT,
}
RESPONSE = {"id": "respond.0123", "turn": "t1", "reaches": "chat"}
HEALTH = {
    "parts": {"database": "ok", "redis": "ok", "operator": "ok", "gateway": "not connected"},
    "outbox": 0,
    "queued_tasks": 1,
    "running_tasks": 0,
}
READINESS = {
    "ready": False,
    "missing": ["a port: orchestrator infra allocate todo-app"],
    "secrets": ["DATABASE_URL"],
    "ports": 0,
    "running_task": None,
}
STATUS = {
    "project": PROJECT,
    "status": "created",
    "deployment": DEPLOYMENT,
    "unfinished_tasks": [TASK],
    "secrets": 1,
    "ports": 1,
    "open_incidents": 1,
}
WHOAMI = {"user_id": "ada", "kind": "api-token", "actor": "token:0123456789ab", "scopes": ["read"]}


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None}


def events(*items: Any, ended: bool = True, state: str = "succeeded") -> dict[str, Any]:
    return {"items": list(items), "state": state, "ended": ended}
