"""graphs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator_api.columns import Number, UTCDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "graph_nodes",
        sa.Column("worker", sa.String(length=63), nullable=False),
        sa.Column("graph", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "graph", "name", name="pk_graph_nodes"),
    )
    op.create_table(
        "graph_commands",
        sa.Column("number", Number, nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("graph", sa.String(length=16), nullable=False),
        sa.Column("node", sa.String(length=63), nullable=False),
        sa.Column("task_number", Number, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("worker", sa.String(length=63), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_number"],
            ["tasks.number"],
            name="fk_graph_commands_task_number_tasks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_graph_commands"),
        sa.UniqueConstraint("id", name="uq_graph_commands_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_graph_commands_task_number", "graph_commands", ["task_number"])


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("graph_commands")
    op.drop_table("graph_nodes")
