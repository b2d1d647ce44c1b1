"""What people think of results."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "verdicts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("workitem_uid", sa.String(length=64), nullable=False),
        sa.Column("judgement", sa.String(length=16), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=255), nullable=False),
        sa.Column("given_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_verdicts")),
        sa.ForeignKeyConstraint(
            ["workitem_uid"], ["workitems.uid"], name=op.f("fk_verdicts_workitem_uid_workitems")
        ),
    )
    op.create_index(op.f("ix_verdicts_workitem_uid"), "verdicts", ["workitem_uid"], unique=False)
