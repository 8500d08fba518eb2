"""What people are to look at, and what is worth keeping."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator_api.columns import Number
from orchestrator_api.tables.base import USER_LENGTH, Table


class Incident(Table):
    """Something that a person has to look at."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("ix_incidents_user_id_id", "user_id", "id"),
        Index("ix_incidents_project_id", "project_id"),
        Index("ix_incidents_resolved_at", "resolved_at"),
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
        Index("ix_summaries_created_at", "created_at"),
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
