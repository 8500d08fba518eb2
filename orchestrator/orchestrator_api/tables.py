"""The tables. `migrations/` makes them; a test proves that both agree."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from orchestrator_api.columns import Json, Number, UTCDateTime

# Without names of our own a constraint could not be changed by a later migration.
NAMES: Final = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
USER_LENGTH: Final = 63
NAME_LENGTH: Final = 63
SECRET_NAME_LENGTH: Final = 128


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: Json, list[str]: Json}  # noqa: RUF012


class Project(Table):
    """A user's project. `version` rises with every change: its ETag."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("user_id", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    description: Mapped[str] = mapped_column(Text, default="")
    repository_url: Mapped[str] = mapped_column(String(2048), default="")
    status: Mapped[str] = mapped_column(String(16))
    summary: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ApiToken(Table):
    """An API token, by its hash alone."""

    __tablename__ = "api_tokens"
    __table_args__ = (Index("ix_api_tokens_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]]
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class IdempotencyKey(Table):
    """What was answered to a request that may be sent again."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    user_id: Mapped[str] = mapped_column(String(USER_LENGTH), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[str] = mapped_column(Text)
    headers: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class AuditEntry(Table):
    """Who changed what. `detail` never holds a secret's value."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_user_id_id", "user_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime]
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(200))
    request_id: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]]


class Approval(Table):
    """An agent's wish that waits for its person, bound to the exact arguments.

    `state`: pending, approved, denied, used. It counts until `expires_at`, whatever its state.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        Index("ix_approvals_user_id_created_at", "user_id", "created_at"),
        # The person is asked once, however often and from however many calls an agent asks.
        Index(
            "uq_approvals_open",
            "user_id",
            "arguments_sha256",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    operation: Mapped[str] = mapped_column(String(64))
    summary: Mapped[str] = mapped_column(Text)
    arguments: Mapped[dict[str, Any]]
    arguments_sha256: Mapped[str] = mapped_column(String(64))
    requested_by: Mapped[str] = mapped_column(String(200))
    mailbox: Mapped[str] = mapped_column(String(USER_LENGTH))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(200), default="")
    # Used, or expired and replaced by a newer one.
    closed_at: Mapped[datetime | None]


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


class Secret(Table):
    """A project's secret, encrypted with a key that the database does not have."""

    __tablename__ = "secrets"

    project_id: Mapped[int] = mapped_column(
        Number, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(SECRET_NAME_LENGTH), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(Integer, default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Server(Table):
    """A machine, or the cluster itself, that projects are deployed to. It belongs to everybody."""

    __tablename__ = "servers"
    __table_args__ = (UniqueConstraint("name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    kind: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(253))
    first_port: Mapped[int] = mapped_column(Integer)
    last_port: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]


class Allocation(Table):
    """A server's port that a service of a project has to itself."""

    __tablename__ = "allocations"
    __table_args__ = (
        UniqueConstraint("server_id", "port"),
        UniqueConstraint("server_id", "project_id", "service"),
        Index("ix_allocations_project_id", "project_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    server_id: Mapped[int] = mapped_column(Number, ForeignKey("servers.id"))
    project_id: Mapped[int] = mapped_column(Number, ForeignKey("projects.id", ondelete="CASCADE"))
    service: Mapped[str] = mapped_column(String(NAME_LENGTH))
    port: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]


class Task(Table):
    """Work that a worker carries out. `worker` is empty until one has taken it."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_user_id_number", "user_id", "number"),
        Index("ix_tasks_project_id", "project_id"),
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


class Deployment(Table):
    """A version of a project that was to run; how far it came is its task's state."""

    __tablename__ = "deployments"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index("ix_deployments_task_number", "task_number"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    project_id: Mapped[int] = mapped_column(Number, ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    task_number: Mapped[int] = mapped_column(Number, ForeignKey("tasks.number"))
    image: Mapped[str] = mapped_column(String(512))
    rollback_of: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]


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


class Incident(Table):
    """Something that a person has to look at."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("ix_incidents_user_id_id", "user_id", "id"),
        Index("ix_incidents_project_id", "project_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    project_id: Mapped[int | None] = mapped_column(
        Number, ForeignKey("projects.id", ondelete="SET NULL")
    )
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    opened_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class Summary(Table):
    """What somebody wrote when they finished something, of a session's run where an agent did."""

    __tablename__ = "summaries"
    __table_args__ = (
        Index("ix_summaries_user_id_id", "user_id", "id"),
        Index("ix_summaries_session_uid_id", "session_uid", "id"),
        Index("ix_summaries_project_id", "project_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    mailbox: Mapped[str] = mapped_column(String(USER_LENGTH))
    session_uid: Mapped[str | None] = mapped_column(String(USER_LENGTH))
    project_id: Mapped[int | None] = mapped_column(
        Number, ForeignKey("projects.id", ondelete="SET NULL")
    )
    text: Mapped[str] = mapped_column(Text)
    written_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]


class Article(Table):
    """Something that is worth knowing: a user's own, or everybody's where `user_id` is empty."""

    __tablename__ = "articles"
    __table_args__ = (
        Index("ix_articles_user_id", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(USER_LENGTH))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
