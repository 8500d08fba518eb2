"""summaries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator_api.columns import Number, UTCDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "summaries",
        sa.Column("id", Number, nullable=False),
        sa.Column("user_id", sa.String(length=63), nullable=False),
        sa.Column("mailbox", sa.String(length=63), nullable=False),
        sa.Column("session_uid", sa.String(length=63), nullable=True),
        sa.Column("project_id", Number, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("written_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_summaries_project_id_projects",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_summaries"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_summaries_user_id_id", "summaries", ["user_id", "id"], unique=False)
    op.create_index("ix_summaries_session_uid_id", "summaries", ["session_uid", "id"], unique=False)


def downgrade() -> None:
    """Back to the revision before."""
    op.drop_table("summaries")
