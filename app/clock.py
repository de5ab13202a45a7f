"""What time it is, in one place. Instants are aware datetimes in UTC; days and months are the issuer's."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)
