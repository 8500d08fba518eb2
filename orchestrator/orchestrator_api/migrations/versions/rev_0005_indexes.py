"""indexes of what refers to projects and tasks."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = (
    ("deployments", "task_number"),
    ("incidents", "project_id"),
    ("summaries", "project_id"),
)


def upgrade() -> None:
    """To this revision."""
    for table, column in INDEXES:
        op.create_index(f"ix_{table}_{column}", table, [column], unique=False)


def downgrade() -> None:
    """Back to the revision before."""
    for table, column in INDEXES:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
