"""Tasks, the graphs that carry them out, and what goes to the queues."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator_api.columns import Number
from orchestrator_api.tables.base import NAME_LENGTH, USER_LENGTH, Table


class Task(Table):
    """Work that a worker carries out. `worker` is empty until one has taken it."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_user_id_number", "user_id", "number"),
        Index("ix_tasks_project_id", "project_id"),
        Index("ix_tasks_finished_at", "finished_at"),
        # All that counting them needs.
        Index("ix_tasks_state_kind", "state", "kind"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    project_id: Mapped[int | None] = mapped_column(
        Number, ForeignKey("projects.id", ondelete="CASCADE")
    )
    request: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str] = mapped_column(String(200), default="")
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    result: Mapped[dict[str, Any]]
    request_id: Mapped[str] = mapped_column(String(64))
    callback_stream: Mapped[str] = mapped_column(String(200))
    last_seq: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TaskEvent(Table):
    """What happened to a task; `seq` counts from 1 without a gap."""

    __tablename__ = "task_events"

    task_number: Mapped[int] = mapped_column(
        Number, ForeignKey("tasks.number", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)


class GraphNode(Table):
    """A node of a graph that a worker has said it has."""

    __tablename__ = "graph_nodes"

    worker: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    graph: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    seen_at: Mapped[datetime]


class GraphCommand(Table):
    """What an administrator asks of the graph of a task. `state`: queued, done or failed."""

    __tablename__ = "graph_commands"
    __table_args__ = (
        Index("ix_graph_commands_task_number", "task_number"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(String(16), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    graph: Mapped[str] = mapped_column(String(16))
    node: Mapped[str] = mapped_column(String(NAME_LENGTH))
    task_number: Mapped[int] = mapped_column(Number, ForeignKey("tasks.number", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    message: Mapped[str] = mapped_column(Text, default="")
    asked_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class OutboxEntry(Table):
    """An entry for a Redis stream, written with the change that it speaks of and published after it.

    `key` makes it the same entry however often it is published.
    """

    __tablename__ = "outbox"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    key: Mapped[str] = mapped_column(String(36))
    stream: Mapped[str] = mapped_column(String(200))
    fields: Mapped[dict[str, Any]]
    # Events are telemetry and trimmed; a queue's entries never are.
    limit: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]
