"""Cards of several kinds, lost and replaced; PINs; limits by what a tap proves."""

from uuid import uuid5

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_KIND = "kind IN ('grant', 'card', 'terminal')"
_KINDS = "kind IN ('grant', 'card', 'terminal', 'tap_idm', 'tap_fcf', 'tap_pin', 'tap_mac')"
_LEVELS = {"idm": (None, None), "fcf": (3_000, 10_000), "pin": (30_000, 50_000), "mac": (30_000, 50_000)}
"""The limits that each card's controls begin with: those of app/reader/assurance.py when this was written."""


def upgrade() -> None:
    op.add_column(
        "card",
        sa.Column("profile", sa.Text(), server_default="fcf", nullable=False, comment="code of its reader profile"),
    )
    op.add_column(
        "card",
        sa.Column("stopped_at", sa.TIMESTAMP(timezone=True), nullable=True, comment="when it was reported lost"),
    )
    op.add_column("card", sa.Column("replaced_by", sa.Uuid(), nullable=True))
    op.alter_column(
        "card",
        "blocks_hash",
        nullable=True,
        comment="HMAC-SHA-256 of what its blocks say, under the pepper; null: nothing is read off such a card",
        existing_comment="HMAC-SHA-256 of what the FCF blocks say, under the pepper",
    )
    op.create_foreign_key("fk_card_replaced_by", "card", "card", ["replaced_by"], ["id"])
    op.execute("UPDATE card SET stopped_at = now() WHERE status IN ('lost', 'replaced')")
    op.create_check_constraint(
        op.f("ck_card_stopped_at"), "card", "(status IN ('lost', 'replaced')) = (stopped_at IS NOT NULL)"
    )
    op.create_check_constraint(op.f("ck_card_replaced_by"), "card", "(status = 'replaced') = (replaced_by IS NOT NULL)")
    op.create_table(
        "member_pin",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("pin_hash", sa.Text(), nullable=False, comment="argon2id of the PIN as the card pepper keys it"),
        sa.Column("wrong_tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("set_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("wrong_tries BETWEEN 0 AND 5", name=op.f("ck_member_pin_wrong_tries")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_member_pin_member_id")),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_member_pin")),
    )
    op.create_table(
        "card_registration",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False, comment="HMAC-SHA-256 of its letters"),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("used_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_card_registration_member_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_card_registration")),
    )
    op.create_index(op.f("ix_card_registration_member_id"), "card_registration", ["member_id"])
    op.create_table(
        "assurance_limit",
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("max_per_payment_yen", sa.BigInteger(), nullable=False, comment="0: no tap of this level is taken"),
        sa.Column("max_per_day_yen", sa.BigInteger(), nullable=False, comment="by one card"),
        sa.CheckConstraint("level IN ('idm', 'fcf', 'pin', 'mac')", name=op.f("ck_assurance_limit_level")),
        sa.CheckConstraint(
            "max_per_payment_yen >= 0 AND max_per_day_yen >= max_per_payment_yen",
            name=op.f("ck_assurance_limit_day_holds_payment"),
        ),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name=op.f("fk_assurance_limit_issuer_id")),
        sa.PrimaryKeyConstraint("issuer_id", "level", name=op.f("pk_assurance_limit")),
    )
    op.drop_constraint(op.f("ck_spend_control_kind"), "spend_control")
    op.create_check_constraint(op.f("ck_spend_control_kind"), "spend_control", _KINDS)
    _controls_of_cards()


def _controls_of_cards() -> None:
    """A control for each level of each card there is. Their ids are made as the program makes them."""
    connection = op.get_bind()
    for card_id, issuer_id in connection.execute(sa.text("SELECT id, issuer_id FROM card")).all():
        for level, (per_payment, per_day) in _LEVELS.items():
            connection.execute(
                sa.text(
                    "INSERT INTO spend_control (id, issuer_id, kind, status, max_per_payment_yen, max_per_day_yen)"
                    " VALUES (:id, :issuer, :kind, :status, :payment, :day)"
                ),
                {
                    "id": uuid5(card_id, level),
                    "issuer": issuer_id,
                    "kind": f"tap_{level}",
                    "status": "active" if per_payment else "revoked",
                    "payment": per_payment,
                    "day": per_day,
                },
            )


def downgrade() -> None:
    op.execute("DELETE FROM spend_control WHERE kind LIKE 'tap!_%' ESCAPE '!'")
    op.drop_constraint(op.f("ck_spend_control_kind"), "spend_control")
    op.create_check_constraint(op.f("ck_spend_control_kind"), "spend_control", _KIND)
    op.drop_table("assurance_limit")
    op.drop_table("card_registration")
    op.drop_table("member_pin")
    op.drop_constraint(op.f("ck_card_replaced_by"), "card")
    op.drop_constraint(op.f("ck_card_stopped_at"), "card")
    op.drop_constraint("fk_card_replaced_by", "card")
    op.execute("UPDATE card SET blocks_hash = '' WHERE blocks_hash IS NULL")
    op.alter_column(
        "card",
        "blocks_hash",
        nullable=False,
        comment="HMAC-SHA-256 of what the FCF blocks say, under the pepper",
        existing_comment="HMAC-SHA-256 of what its blocks say, under the pepper; null: nothing is read off such a card",
    )
    op.drop_column("card", "replaced_by")
    op.drop_column("card", "stopped_at")
    op.drop_column("card", "profile")
