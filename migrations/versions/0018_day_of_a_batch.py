"""A batch is written by the day by which it was judged, or not at all: its sums are changed before the head is locked.

So what guards a wallet's day looks once everything of the batch is there.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_FUNCTION = """
CREATE FUNCTION is_of_day(at timestamptz, zone text, judged date) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF (at AT TIME ZONE zone)::date <> judged THEN
        RAISE EXCEPTION 'the day has ended since this was decided' USING ERRCODE = 'check_violation';
    END IF;
    RETURN true;
END $$
"""

_GUARD = """
CREATE {kind} expired_value_stays_expired AFTER UPDATE OF expires_on ON wallet {when} FOR EACH ROW
    WHEN (OLD.expires_on < current_date - 1 AND NEW.expires_on > OLD.expires_on)
    EXECUTE FUNCTION expired_value_stays_expired()
"""


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute("DROP TRIGGER expired_value_stays_expired ON wallet")
    op.execute(_GUARD.format(kind="CONSTRAINT TRIGGER", when="DEFERRABLE INITIALLY DEFERRED"))


def downgrade() -> None:
    op.execute("DROP TRIGGER expired_value_stays_expired ON wallet")
    op.execute(_GUARD.format(kind="TRIGGER", when=""))
    op.execute("DROP FUNCTION is_of_day(timestamptz, text, date)")
