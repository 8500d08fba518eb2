"""Who may call, what was answered, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator_api.columns import Number
from orchestrator_api.tables.base import NAME_LENGTH, USER_LENGTH, Table


class ApiToken(Table):
    """An API token, by its hash alone."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        Index("ix_api_tokens_user_id", "user_id"),
        Index("ix_api_tokens_created_by", "created_by"),
    )

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
        Index("ix_audit_log_at", "at"),
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
        Index("ix_approvals_expires_at", "expires_at"),
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
