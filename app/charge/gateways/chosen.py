"""Which gateway the settings choose. Each adapter is imported only where it is the one."""

from __future__ import annotations

from importlib import import_module

from app.charge.ports import Gateway
from app.settings import Settings


class NoGateway(Exception):
    """No gateway is set up: nothing can be charged by card or at a store."""


def gateway(settings: Settings) -> Gateway:
    """The adapter of `settings.charge_gateway`, from its module's `from_settings`. Raises NoGateway."""
    if not settings.charge_gateway:
        raise NoGateway
    module = import_module(f"app.charge.gateways.{settings.charge_gateway}")
    adapter: Gateway = module.from_settings(settings)
    return adapter
