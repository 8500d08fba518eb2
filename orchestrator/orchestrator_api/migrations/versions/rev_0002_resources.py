"""resources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator_api.columns import Json, Number, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "articles",
        sa.Column("id", Number, nullable=False),
        sa.Column("user_id", sa.String(length=63), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_articles"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_articles_user_id", "articles", ["user_id"], unique=False)

    op.create_table(
        "servers",
        sa.Column("id", Number, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("first_port", sa.Integer(), nullable=False),
        sa.Column("last_port", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
        sa.UniqueConstraint("name", name="uq_servers_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "allocations",
        sa.Column("id", Number, nullable=False),
        sa.Column("server_id", Number, nullable=False),
        sa.Column("project_id", Number, nullable=False),
        sa.Column("service", sa.String(length=63), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_allocations_project_id_projects",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_allocations_server_id_servers"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_allocations"),
        sa.UniqueConstraint("server_id", "port", name="uq_allocations_server_id_port"),
        sa.UniqueConstraint(
            "server_id", "project_id", "service", name="uq_allocations_server_id_project_id_service"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_allocations_project_id", "allocations", ["project_id"], unique=False)

    op.create_table(
        "incidents",
        sa.Column("id", Number, nullable=False),
        sa.Column("user_id", sa.String(length=63), nullable=False),
        sa.Column("project_id", Number, nullable=True),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("opened_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("resolved_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_incidents_project_id_projects",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_user_id_id", "incidents", ["user_id", "id"], unique=False)

    op.create_table(
        "secrets",
        sa.Column("project_id", Number, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_secrets_project_id_projects",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_secrets"),
    )
    op.create_table(
        "tasks",
        sa.Column("number", Number, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=63), nullable=False),
        sa.Column("project_id", Number, nullable=True),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("result", Json, nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("callback_stream", sa.String(length=200), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=True),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_tasks_project_id_projects", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_tasks"),
        sa.UniqueConstraint("id", name="uq_tasks_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tasks_project_id", "tasks", ["project_id"], unique=False)
    op.create_index("ix_tasks_user_id_number", "tasks", ["user_id", "number"], unique=False)

    op.create_table(
        "deployments",
        sa.Column("id", Number, nullable=False),
        sa.Column("project_id", Number, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("task_number", Number, nullable=False),
        sa.Column("image", sa.String(length=512), nullable=False),
        sa.Column("rollback_of", sa.Integer(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_deployments_project_id_projects",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["task_number"], ["tasks.number"], name="fk_deployments_task_number_tasks"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sa.UniqueConstraint("project_id", "number", name="uq_deployments_project_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "task_events",
        sa.Column("task_number", Number, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_number"],
            ["tasks.number"],
            name="fk_task_events_task_number_tasks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task_number", "seq", name="pk_task_events"),
    )
    _index_words()


def _index_words() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX ix_articles_words ON articles "
            "USING gin (to_tsvector('simple', title || ' ' || body))"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE articles_words USING fts5("
        "title, body, content='articles', content_rowid='id')"
    )
    gone = (
        "INSERT INTO articles_words(articles_words, rowid, title, body) "
        "VALUES ('delete', old.id, old.title, old.body);"
    )
    come = "INSERT INTO articles_words(rowid, title, body) VALUES (new.id, new.title, new.body);"
    for event, statements in (("INSERT", come), ("DELETE", gone), ("UPDATE", gone + come)):
        op.execute(
            f"CREATE TRIGGER articles_words_{event.lower()} AFTER {event} ON articles "
            f"BEGIN {statements} END"
        )


def downgrade() -> None:
    """Back to the one before."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_table("articles_words")
    op.drop_table("task_events")
    op.drop_table("deployments")
    op.drop_table("tasks")
    op.drop_table("secrets")
    op.drop_table("incidents")
    op.drop_table("allocations")
    op.drop_table("servers")
    op.drop_table("articles")
