"""indexes of what is over since when, and of tasks by state."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (
    ("approvals", ["expires_at"]),
    ("audit_log", ["at"]),
    ("incidents", ["resolved_at"]),
    ("summaries", ["created_at"]),
    ("tasks", ["finished_at"]),
    ("tasks", ["state", "kind"]),
)


def upgrade() -> None:
    """To this revision."""
    for table, columns in INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns, unique=False)


def downgrade() -> None:
    """Back to the revision before."""
    for table, columns in INDEXES:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table_name=table)
