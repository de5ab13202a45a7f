"""This server's gateway, made once per process."""

from __future__ import annotations

from flask import current_app

from app.charge.errors import ChargesClosed
from app.charge.gateways.chosen import NoGateway, gateway
from app.charge.ports import Gateway
from app.db import extension


def current_gateway() -> Gateway:
    """Raises ChargesClosed where the settings name none."""
    try:
        return extension("kumiai.charge_gateway", lambda: gateway(current_app.extensions["kumiai.settings"]))
    except NoGateway:
        raise ChargesClosed from None
