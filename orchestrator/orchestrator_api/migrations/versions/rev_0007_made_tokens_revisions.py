"""index of tokens by what made them; revisions of deployments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_index("ix_api_tokens_created_by", "api_tokens", ["created_by"], unique=False)
    with op.batch_alter_table("deployments") as table:
        table.add_column(
            sa.Column("repository_url", sa.String(length=2048), nullable=False, server_default="")
        )
        table.add_column(
            sa.Column("revision", sa.String(length=64), nullable=False, server_default="")
        )


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("deployments") as table:
        table.drop_column("revision")
        table.drop_column("repository_url")
    op.drop_index("ix_api_tokens_created_by", table_name="api_tokens")
