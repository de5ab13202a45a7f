"""Webhooks: endpoints, the cursor over the transactions, deliveries in lanes, the delivery log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_cursor",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_webhook_cursor_position_not_negative")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_cursor_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", name=op.f("pk_webhook_cursor")),
    )
    op.create_table(
        "webhook_app",
        sa.Column("client_id", sa.Text(), nullable=False, comment="the service"),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["oauth_client.id"], name=op.f("fk_webhook_app_app_id")),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_webhook_app_client_id")),
        sa.PrimaryKeyConstraint("client_id", "app_id", name=op.f("pk_webhook_app")),
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False, comment="the types it is sent; see event_types.py"),
        sa.Column("contact_email", sa.Text(), nullable=False, comment="who is told when it is disabled"),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False, comment="signs what is sent"),
        sa.Column(
            "previous_sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the secret before it, which signs too for a while",
        ),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "failing_since", sa.DateTime(timezone=True), nullable=True, comment="since when nothing but failures"
        ),
        sa.Column(
            "paused_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="it asked to be left alone, or did not answer",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'disabled') = (disabled_reason IS NOT NULL)",
            name=op.f("ck_webhook_endpoint_disabled_with_reason"),
        ),
        sa.CheckConstraint(
            "disabled_reason IN ('asked', 'gone', 'failing')", name=op.f("ck_webhook_endpoint_disabled_reason")
        ),
        sa.CheckConstraint("status IN ('active', 'disabled', 'deleted')", name=op.f("ck_webhook_endpoint_status")),
        sa.CheckConstraint(
            "(previous_sealed IS NULL) = (previous_until IS NULL)",
            name=op.f("ck_webhook_endpoint_previous_secret_ends_by_itself"),
        ),
        sa.CheckConstraint("cardinality(events) > 0", name=op.f("ck_webhook_endpoint_some_events")),
        sa.CheckConstraint("length(url) <= 2000", name=op.f("ck_webhook_endpoint_url_length")),
        sa.ForeignKeyConstraint(["client_id"], ["oauth_client.id"], name=op.f("fk_webhook_endpoint_client_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_endpoint_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index(op.f("ix_webhook_endpoint_client_id"), "webhook_endpoint", ["client_id"], unique=False)
    op.create_table(
        "webhook_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True, comment="its subject"),
        sa.Column("subject", sa.Uuid(), nullable=True, comment="what it is about, where that is no member"),
        sa.Column(
            "client_id", sa.Text(), nullable=True, comment="the only client it concerns; null: whoever reads balances"
        ),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(member_id IS NULL) = (subject IS NOT NULL)", name=op.f("ck_webhook_event_one_subject")),
        sa.CheckConstraint(
            "member_id IS NOT NULL OR client_id IS NOT NULL", name=op.f("ck_webhook_event_somebody_hears_it")
        ),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_event_issuer_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_webhook_event_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_event")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False, comment="the member, else the shop, it is about"),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column(
            "grant_id", sa.Uuid(), nullable=True, comment="the permission it is sent by, where there is no other right"
        ),
        sa.Column(
            "payload_sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the body as it is sent; null where the permission it needed ended before",
        ),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True, comment="the class of the last failure"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at IS NOT NULL)", name=op.f("ck_webhook_delivery_delivered_at")
        ),
        sa.CheckConstraint(
            "payload_sealed IS NOT NULL OR state = 'given_up'", name=op.f("ck_webhook_delivery_payload_unless_given_up")
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'given_up')", name=op.f("ck_webhook_delivery_state")),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_delivery_endpoint_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_delivery_issuer_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_delivery_id")),
    )
    op.create_index(
        "ix_webhook_delivery_lane",
        "webhook_delivery",
        ["endpoint_id", "subject", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index("ix_webhook_delivery_log", "webhook_delivery", ["endpoint_id", "seq"], unique=False)
    op.create_index(
        "ix_webhook_delivery_log_by_state", "webhook_delivery", ["endpoint_id", "state", "seq"], unique=False
    )
    op.create_table(
        "webhook_lane",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when its first delivery is tried",
        ),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True, comment="a worker has it in hand"),
        sa.Column(
            "tries", sa.Integer(), server_default="0", nullable=False, comment="of its first delivery, in this round"
        ),
        sa.Column(
            "leases", sa.BigInteger(), server_default="0", nullable=False, comment="the number of the last lease"
        ),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_lane_endpoint_id")),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_lane_issuer_id")),
        sa.PrimaryKeyConstraint("endpoint_id", "subject", name=op.f("pk_webhook_lane")),
    )
    op.create_index(op.f("ix_webhook_lane_endpoint_id_due_at"), "webhook_lane", ["endpoint_id", "due_at"], unique=False)
    op.create_table(
        "webhook_attempt",
        sa.Column("delivery_seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True, comment="of the answer; null where there was none"),
        sa.Column("error", sa.Text(), nullable=True, comment="its class; null where it was delivered"),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column(
            "exchange_sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="headers sent; headers and first bytes of the answer",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_seq"], ["webhook_delivery.seq"], name=op.f("fk_webhook_attempt_delivery_seq"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_webhook_attempt_issuer_id")),
        sa.PrimaryKeyConstraint("delivery_seq", "number", name=op.f("pk_webhook_attempt")),
    )
    # nobody listened to what happened before
    op.execute("INSERT INTO webhook_cursor (issuer_id, position) SELECT issuer_id, position FROM issuer_head")


def downgrade() -> None:
    op.drop_table("webhook_attempt")
    op.drop_index(op.f("ix_webhook_lane_endpoint_id_due_at"), table_name="webhook_lane")
    op.drop_table("webhook_lane")
    op.drop_index("ix_webhook_delivery_log_by_state", table_name="webhook_delivery")
    op.drop_index("ix_webhook_delivery_log", table_name="webhook_delivery")
    op.drop_index(
        "ix_webhook_delivery_lane", table_name="webhook_delivery", postgresql_where=sa.text("state = 'waiting'")
    )
    op.drop_table("webhook_delivery")
    op.drop_table("webhook_event")
    op.drop_index(op.f("ix_webhook_endpoint_client_id"), table_name="webhook_endpoint")
    op.drop_table("webhook_endpoint")
    op.drop_table("webhook_app")
    op.drop_table("webhook_cursor")
