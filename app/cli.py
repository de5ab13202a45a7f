"""`kumiai`: the command line. Each group is imported only when it is used, so that a till starts without the server."""

from __future__ import annotations

import importlib
from typing import Any

import click

from app.settings import SettingsError

_COMMANDS = {
    "dev": "app.supervisor:dev",
    "reset": "app.supervisor:reset",
    "run": "app.serve:run",
    "mypage": "app.serve:mypage",
    "sandbox": "app.charge.sandbox.command:sandbox",
    "worker": "app.worker:worker",
    "migrate": "app.migrate:migrate",
    "routes": "app.routes:routes",
    "ledger": "app.office.ledger_commands:ledger",
    "proof": "app.wallet.proof.commands:proof",
    "bulk": "app.office.bulk_commands:bulk",
    "member": "app.office.member_commands:member",
    "money": "app.office.money_commands:money",
    "move-rule": "app.office.move_rule_commands:move_rule",
    "wallet": "app.office.wallet_commands:wallet",
    "issuer": "app.office.issuer_commands:issuer",
    "client": "app.office.client_commands:client",
    "webhook": "app.office.webhook_commands:webhook",
    "oauth": "app.oauth.purge_command:oauth",
    "shop": "app.office.shop_rule_commands:shop",
    "settlement": "app.office.settlement_commands:settlement",
    "charge": "app.office.charge_commands:charge",
    "doctor": "app.doctor.command:doctor",
    "keys": "app.oauth.key_commands:keys",
    "till": "app.reader.agent.commands:till",
    "card": "app.office.card_commands:card",
    "lite-s": "app.office.lite_s_commands:lite_s",
    "demo": "app.demo.commands:demo",
}


class LazyGroup(click.Group):
    """A group whose commands live in the parts they belong to."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=LazyGroup)
@click.version_option(package_name="kumiai")
def main() -> None:
    """Kumiai: open, self-hosted e-money for cooperatives."""
