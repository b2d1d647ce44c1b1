"""Workitems have an urgency; notices of urgent findings; embeddings."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the tables."""
    op.add_column("workitems", sa.Column("urgency", sa.String(length=8), nullable=True))
    op.create_index(op.f("ix_workitems_urgency"), "workitems", ["urgency"], unique=False)
    op.create_table(
        "notices",
        sa.Column("run_uid", sa.String(length=64), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("run_uid", name=op.f("pk_notices")),
    )
    op.create_index(op.f("ix_notices_state_not_before"), "notices", ["state", "not_before"], unique=False)
    op.create_table(
        "embeddings",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=255), nullable=False),
        sa.Column("vector", sa.LargeBinary().with_variant(sa.ARRAY(sa.REAL()), "postgresql"), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_embeddings")),
        sa.UniqueConstraint("run_uid", name=op.f("uq_embeddings_run_uid")),
    )
    for column in ("study_instance_uid", "series_instance_uid"):
        op.create_index(op.f(f"ix_embeddings_{column}"), "embeddings", [column], unique=False)
    op.create_index(op.f("ix_embeddings_space_number"), "embeddings", ["space", "number"], unique=False)
