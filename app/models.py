"""Every table, imported once so that metadata is complete: for the factory, alembic and the tests."""

from app import issuer, limits, outbox
from app.charge import models as charge
from app.db import Base
from app.member import models as member
from app.oauth import models as oauth
from app.reader import models as reader
from app.wallet import hold_models as holds
from app.wallet import models as wallet
from app.wallet.bulk import models as bulk
from app.wallet.housekeeping import models as housekeeping
from app.wallet.proof import models as proof
from app.wallet.settlement import models as settlement
from app.wallet.webhooks import models as webhooks

__all__ = [
    "bulk",
    "charge",
    "holds",
    "housekeeping",
    "issuer",
    "limits",
    "member",
    "metadata",
    "oauth",
    "outbox",
    "proof",
    "reader",
    "settlement",
    "wallet",
    "webhooks",
]

metadata = Base.metadata
