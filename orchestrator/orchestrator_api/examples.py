"""What the API answers, by the names of its views: what `/v1/openapi.json` shows beside each schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_AT: Final = "2026-11-25T09:00:00.000Z"
_LATER: Final = "2026-11-25T09:15:00.000Z"
_TASK: Final = "engineering-0123456789ab"
_DEPLOY: Final = "deploy-0123456789ab"
_QUEUED: Final = "waits in its queue: no worker has taken it yet"
_Example = dict[str, Any]

_PROJECT: Final[_Example] = {
    "id": 42,
    "name": "todo-app",
    "description": "Lists of things to do",
    "repository_url": "https://git.example.com/ada/todo-app",
    "user_id": "ada",
    "status": "created",
    "summary": "",
    "created_at": _AT,
    "updated_at": _LATER,
}
_DEPLOYMENT: Final[_Example] = {
    "number": 3,
    "project_id": 42,
    "task_id": _DEPLOY,
    "status": "queued",
    "standing": _QUEUED,
    "image": "registry.example.com/todo-app:1.4",
    "repository_url": "",
    "revision": "",
    "rollback_of": None,
    "url": None,
    "created_at": _AT,
}
_TASK_VIEW: Final[_Example] = {
    "id": _TASK,
    "kind": "engineering",
    "project_id": 42,
    "request": "Add a list of what is done",
    "state": "queued",
    "standing": _QUEUED,
    "worker": None,
    "cancel_requested": False,
    "result": {},
    "last_seq": 1,
    "created_at": _AT,
    "started_at": None,
    "finished_at": None,
}
_EVENT: Final[_Example] = {"seq": 1, "at": _AT, "kind": "queued", "message": "queued"}
_INCIDENT: Final[_Example] = {
    "id": 5,
    "project_id": 42,
    "title": "It does not start",
    "description": "Tried three times: port 20000 is refused.",
    "state": "open",
    "opened_by": "token:0123456789ab",
    "created_at": _AT,
    "resolved_at": None,
}
_TOKEN: Final[_Example] = {
    "id": "0123456789ab",
    "user_id": "ada",
    "name": "ci",
    "scopes": ["read"],
    "created_by": "token:ba9876543210",
    "created_at": _AT,
    "expires_at": _LATER,
    "last_used_at": None,
    "revoked_at": None,
}
_NODE: Final[_Example] = {
    "graph": "engineering",
    "node": "developer",
    "worker": "w-0",
    "alive": True,
    "seen_at": _AT,
}

EXAMPLES: Final[Mapping[str, _Example]] = {
    "ProjectView": _PROJECT,
    "ProjectStatusView": {
        "project": _PROJECT,
        "status": "deploying",
        "deployment": _DEPLOYMENT,
        "unfinished_tasks": [_TASK_VIEW],
        "secrets": 1,
        "ports": 1,
        "open_incidents": 0,
    },
    "SecretView": {"name": "DATABASE_URL", "version": 2, "created_at": _AT, "updated_at": _LATER},
    "DeploymentView": _DEPLOYMENT,
    "ReadinessView": {
        "ready": False,
        "missing": ["a port: orchestrator infra allocate todo-app"],
        "secrets": ["DATABASE_URL"],
        "ports": 0,
        "running_task": None,
    },
    "ServerView": {
        "name": "vps-1",
        "kind": "ssh",
        "host": "vps-1.example.com",
        "first_port": 20_000,
        "last_port": 20_999,
        "free_ports": 999,
        "created_at": _AT,
    },
    "AllocationView": {
        "id": 7,
        "project_id": 42,
        "service": "web",
        "server": "vps-1",
        "host": "vps-1.example.com",
        "port": 20_000,
        "created_at": _AT,
        "created": True,
    },
    "TaskView": _TASK_VIEW,
    "EventView": _EVENT,
    "EventPage": {"items": [_EVENT], "state": "queued", "ended": False},
    "IncidentView": _INCIDENT,
    "OpenedView": {**_INCIDENT, "notified": "chat"},
    "ArticleView": {
        "id": 9,
        "title": "How we name services",
        "body": "After what they do.",
        "shared": True,
        "created_at": _AT,
        "updated_at": _LATER,
    },
    "LogView": {
        "items": [{"id": "1", "at": _AT, "kind": "log", "message": "pulled the image"}],
        "next_cursor": None,
        "of": "deployment",
        "name": "todo-app",
        "project_id": 42,
        "task_id": _DEPLOY,
        "standing": "running, worker w-0",
    },
    "ResponseView": {"id": "respond.0123456789ab", "turn": "t1", "reaches": "chat"},
    "SummaryView": {
        "id": 11,
        "project_id": 42,
        "session_uid": None,
        "text": "Deployed todo-app 1.4",
        "written_by": "token:0123456789ab",
        "created_at": _AT,
    },
    "ApprovalView": {
        "id": "0123456789ab",
        "operation": "project.delete",
        "summary": "delete project todo-app (42) with all that it has",
        "arguments": {"path": {"project_id": "42"}, "query": {}, "body": None},
        "requested_by": "run:2f0c3a4e/1",
        "state": "pending",
        "created_at": _AT,
        "expires_at": _LATER,
        "decided_at": None,
        "decided_by": "",
    },
    "Whoami": {
        "user_id": "ada",
        "kind": "api-token",
        "actor": "token:0123456789ab",
        "scopes": ["read", "write"],
    },
    "TokenView": _TOKEN,
    "RevokedView": {"id": "0123456789ab", "made_with_it": ["ba9876543210"]},
    "MadeToken": {**_TOKEN, "token": "orc_0123456789ab_..."},
    "AuditView": {
        "id": 1,
        "at": _AT,
        "actor": "token:0123456789ab",
        "action": "project.create",
        "target": "project/42",
        "request_id": "5dac49fb501243449919b32b6a8bd156",
        "detail": {},
    },
    "HealthView": {
        "parts": {"database": "ok", "redis": "ok", "operator": "ok"},
        "outbox": 0,
        "queued_tasks": 1,
        "running_tasks": 0,
    },
    "NodesView": {
        "items": [_NODE],
        "standing": {"engineering": "worker w-0 of the engineering graph reported 3 s ago"},
    },
    "CommandView": {
        "id": "0123456789ab",
        "kind": "trigger-node",
        "graph": "engineering",
        "node": "developer",
        "task_id": _TASK,
        "state": "queued",
        "standing": "waits in its queue: no worker of the engineering graph has reported",
        "message": "",
        "asked_by": "token:0123456789ab",
        "created_at": _AT,
        "finished_at": None,
    },
}
