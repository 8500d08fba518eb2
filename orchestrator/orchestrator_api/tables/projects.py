"""Projects and what they have."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator_api.columns import Number
from orchestrator_api.tables.base import (
    NAME_LENGTH,
    REVISION_LENGTH,
    SECRET_NAME_LENGTH,
    USER_LENGTH,
    Table,
)


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
    # Where it is not of an image; the project's may be another by now.
    repository_url: Mapped[str] = mapped_column(String(2048), default="", server_default="")
    # Of that repository, what its worker said it took.
    revision: Mapped[str] = mapped_column(String(REVISION_LENGTH), default="", server_default="")
    rollback_of: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime]
