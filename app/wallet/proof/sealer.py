"""The part of `kumiai worker` that seals: it looks now and then, seals what is due, signs the days that are over."""

from __future__ import annotations

import logging
from functools import partial

from app.db import worker_connection
from app.issuer import current_issuer
from app.wallet.proof import sealing, statement
from app.watch import Watch


class Sealer(Watch):
    """One of as many as you like; each looks on a connection of its own."""

    log = logging.getLogger("kumiai.proof")

    def look(self) -> None:
        """Seal every block that is due and sign every day that is over. Raises Gap, SealBroken, psycopg.Error."""
        with self.app.app_context(), worker_connection(self.settings.database_url, name="proof") as connection:
            issuer_id, zone = current_issuer().id, self.settings.zone
            while not self.stopping.is_set() and (
                size := sealing.seal_next(connection, issuer_id=issuer_id, zone=zone)
            ):
                self.log.info("sealed %s transactions", size)
            sign = partial(statement.sign, sealing_key=self.settings.sealing_key)
            while not self.stopping.is_set() and (
                day := sealing.sign_next(
                    connection, issuer_id=issuer_id, issuer_url=self.settings.issuer_url, zone=zone, sign=sign
                )
            ):
                self.log.info("signed %s", day)
