"""Bulk jobs: uploaded files and their lines. A trigger keeps what became of a line as it was first told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


_GUARD = """
CREATE FUNCTION bulk_row_is_settled_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what became of a line is told once' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER settled_once BEFORE UPDATE ON bulk_row FOR EACH ROW
    WHEN (OLD.state IN ('accepted', 'refused')) EXECUTE FUNCTION bulk_row_is_settled_once();
"""


def upgrade() -> None:
    op.create_table(
        "bulk_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True, comment="null: the office itself"),
        sa.Column("upload_key", sa.Text(), nullable=False, comment="the Idempotency-Key of its upload"),
        sa.Column("file_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("file_name", sa.Text(), server_default="", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="examining", nullable=False),
        sa.Column(
            "problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="why the whole file was rejected"
        ),
        sa.Column("lines", sa.Integer(), server_default="0", nullable=False, comment="that say something"),
        sa.Column("bad_lines", sa.Integer(), server_default="0", nullable=False),
        sa.Column("accepted_lines", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused_lines", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sum_yen", sa.BigInteger(), server_default="0", nullable=False, comment="of all good lines"),
        sa.Column("moved_yen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "sums",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
            comment="good lines by money and kind",
        ),
        sa.Column(
            "same_file",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="started although the same file had been before",
        ),
        sa.Column("notify", sa.Text(), nullable=True, comment="whom to mail when it is done; blanked then"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("examined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="first"),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True, comment="last"),
        sa.Column(
            "resumed_lines",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="how many were done when it was started last",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="while leased: when the lease ends",
        ),
        sa.Column("lease", sa.Integer(), server_default="0", nullable=False, comment="the number of the last lease"),
        sa.CheckConstraint("(state = 'done') = (finished_at IS NOT NULL)", name=op.f("ck_bulk_job_finished")),
        sa.CheckConstraint("(state = 'rejected') = (problem IS NOT NULL)", name=op.f("ck_bulk_job_rejected_says_why")),
        sa.CheckConstraint("encoding IN ('utf-8', 'utf-8-sig', 'cp932')", name=op.f("ck_bulk_job_encoding")),
        sa.CheckConstraint("format IN ('csv', 'jsonl')", name=op.f("ck_bulk_job_format")),
        sa.CheckConstraint(
            "state IN ('examining', 'examined', 'rejected', 'running', 'stopped', 'done')",
            name=op.f("ck_bulk_job_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('running', 'stopped', 'done') OR started_at IS NOT NULL", name=op.f("ck_bulk_job_started")
        ),
        sa.CheckConstraint(
            "accepted_lines >= 0 AND refused_lines >= 0 AND moved_yen >= 0", name=op.f("ck_bulk_job_done_not_negative")
        ),
        sa.CheckConstraint(
            "bad_lines + accepted_lines + refused_lines <= lines", name=op.f("ck_bulk_job_done_are_lines")
        ),
        sa.CheckConstraint("moved_yen <= sum_yen", name=op.f("ck_bulk_job_moved_is_of_sum")),
        sa.CheckConstraint(
            "size_bytes >= 0 AND lines >= 0 AND bad_lines >= 0", name=op.f("ck_bulk_job_counts_not_negative")
        ),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_bulk_job_client_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_bulk_job_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_job")),
        sa.UniqueConstraint(
            "client_id", "upload_key", name=op.f("uq_bulk_job_client_id_upload_key"), postgresql_nulls_not_distinct=True
        ),
    )
    op.create_index(
        "ix_bulk_job_to_do",
        "bulk_job",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('examining', 'running')"),
    )
    op.create_index(
        "uq_bulk_job_file",
        "bulk_job",
        ["issuer_id", "file_sha256"],
        unique=True,
        postgresql_where=sa.text("started_at IS NOT NULL AND NOT same_file"),
    )
    op.create_table(
        "bulk_row",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True, comment="as the file names them: id or address"),
        sa.Column("member_id", sa.Uuid(), nullable=True, comment="who that was when the file was examined"),
        sa.Column("money", sa.Text(), nullable=True),
        sa.Column("amount_yen", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True, comment="the file's own name of the line"),
        sa.Column("problems", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("transaction_id", sa.Uuid(), nullable=True),
        sa.Column("balance_yen", sa.BigInteger(), nullable=True, comment="of the wallet, right after it"),
        sa.Column("refusal", sa.Text(), nullable=True, comment="the error's code"),
        sa.Column("refusal_detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "(state = 'accepted') = (transaction_id IS NOT NULL)", name=op.f("ck_bulk_row_accepted_moved")
        ),
        sa.CheckConstraint("(state = 'bad') = (problems IS NOT NULL)", name=op.f("ck_bulk_row_bad_says_why")),
        sa.CheckConstraint("(state = 'refused') = (refusal IS NOT NULL)", name=op.f("ck_bulk_row_refused_says_why")),
        sa.CheckConstraint("kind IN ('grant', 'correction', 'take_back')", name=op.f("ck_bulk_row_kind")),
        sa.CheckConstraint(
            "state = 'bad' OR num_nulls(member, money, amount_yen, kind, description, reference) = 0",
            name=op.f("ck_bulk_row_complete"),
        ),
        sa.CheckConstraint("state IN ('waiting', 'bad', 'accepted', 'refused')", name=op.f("ck_bulk_row_state")),
        sa.CheckConstraint("amount_yen > 0", name=op.f("ck_bulk_row_amount_positive")),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_job.id"], name=op.f("fk_bulk_row_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_bulk_row")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_bulk_row_bad",
        "bulk_row",
        ["job_id", "line"],
        unique=False,
        postgresql_where=sa.text("problems IS NOT NULL"),
    )
    op.execute(_GUARD)


def downgrade() -> None:
    op.drop_index("ix_bulk_row_bad", table_name="bulk_row", postgresql_where=sa.text("problems IS NOT NULL"))
    op.drop_table("bulk_row")
    op.drop_index(
        "uq_bulk_job_file", table_name="bulk_job", postgresql_where=sa.text("started_at IS NOT NULL AND NOT same_file")
    )
    op.drop_index(
        "ix_bulk_job_to_do", table_name="bulk_job", postgresql_where=sa.text("state IN ('examining', 'running')")
    )
    op.drop_table("bulk_job")
    op.execute("DROP FUNCTION bulk_row_is_settled_once()")
