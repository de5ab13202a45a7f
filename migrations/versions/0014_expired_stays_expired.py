"""What has expired does not come back with the next charge, and a wallet that awaits charges is not closed."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION expired_value_stays_expired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- the day of the undated lot moves: all that is in it must have come in just now, or be held
    IF EXISTS (
        SELECT FROM account lot
         WHERE lot.wallet_id = NEW.id AND lot.expires_on IS NULL
           AND lot.posted_yen - lot.pending_yen > (
               SELECT coalesce(sum(f.amount_yen), 0)
                 FROM transfer f
                 JOIN transaction t ON t.id = f.transaction_id
                 JOIN issuer_head h ON h.issuer_id = t.issuer_id AND h.created_at = t.created_at
                WHERE f.credit_account_id = lot.id)
    ) THEN
        RAISE EXCEPTION 'value that has expired comes back to life' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER expired_value_stays_expired AFTER UPDATE OF expires_on ON wallet FOR EACH ROW
    WHEN (OLD.expires_on < current_date - 1 AND NEW.expires_on > OLD.expires_on)
    EXECUTE FUNCTION expired_value_stays_expired()
"""


def upgrade() -> None:
    op.drop_constraint(op.f("ck_wallet_closed_is_empty"), "wallet")
    op.create_check_constraint(
        op.f("ck_wallet_closed_is_empty"), "wallet", "status <> 'closed' OR (total_yen = 0 AND reserved_yen = 0)"
    )
    op.execute(_GUARD)


def downgrade() -> None:
    op.execute("DROP TRIGGER expired_value_stays_expired ON wallet")
    op.execute("DROP FUNCTION expired_value_stays_expired()")
    op.drop_constraint(op.f("ck_wallet_closed_is_empty"), "wallet")
    op.create_check_constraint(op.f("ck_wallet_closed_is_empty"), "wallet", "status <> 'closed' OR total_yen = 0")
