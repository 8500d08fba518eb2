"""The tables. `migrations/` makes them; a test proves that both agree."""

from __future__ import annotations

from orchestrator_api.tables.base import NAME_LENGTH, SECRET_NAME_LENGTH, USER_LENGTH, Table
from orchestrator_api.tables.calls import ApiToken, Approval, AuditEntry, IdempotencyKey
from orchestrator_api.tables.notes import Article, Incident, Summary
from orchestrator_api.tables.projects import Allocation, Deployment, Project, Secret, Server
from orchestrator_api.tables.work import GraphCommand, GraphNode, OutboxEntry, Task, TaskEvent

__all__ = [
    "NAME_LENGTH",
    "SECRET_NAME_LENGTH",
    "USER_LENGTH",
    "Allocation",
    "ApiToken",
    "Approval",
    "Article",
    "AuditEntry",
    "Deployment",
    "GraphCommand",
    "GraphNode",
    "IdempotencyKey",
    "Incident",
    "OutboxEntry",
    "Project",
    "Secret",
    "Server",
    "Summary",
    "Table",
    "Task",
    "TaskEvent",
]
