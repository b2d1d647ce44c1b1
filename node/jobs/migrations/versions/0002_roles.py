"""Results have a role: there are several SRs in a run."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The kinds of before, seg and sr, are roles of the same name."""
    with op.batch_alter_table("results") as table:
        table.alter_column("kind", new_column_name="role")
