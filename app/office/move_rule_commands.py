"""`kumiai move-rule …`: which monies members may move into which (マネー移動)."""

from __future__ import annotations

import click
from sqlalchemy import select
from sqlalchemy.orm import aliased

from app.db import session
from app.money import format_yen
from app.office.rule_options import YEN, rules
from app.wallet import office_rules
from app.wallet.models import Money, MoveRule
from app.web.terminal import aligned, say


@click.group("move-rule")
def move_rule() -> None:
    """Which monies members may move into which, and in what amounts."""


@move_rule.command("set")
@click.argument("from_money", metavar="FROM")
@click.argument("to_money", metavar="TO")
@click.option("--min-yen", type=YEN, default=1, show_default=True)
@click.option("--max-yen", type=YEN, default=1_000_000, show_default=True)
@click.option("--step-yen", type=YEN, default=1, show_default=True, help="Amounts are multiples of this.")
def set_(from_money: str, to_money: str, min_yen: int, max_yen: int, step_yen: int) -> None:
    """Allow moves from one money into another, of the same backing."""
    with rules():
        pair = office_rules.money_of(from_money), office_rules.money_of(to_money)
        office_rules.set_move(*pair, min_yen=min_yen, max_yen=max_yen, step_yen=step_yen)
    amounts = {"min": format_yen(min_yen), "max": format_yen(max_yen), "step": format_yen(step_yen)}
    click.echo(say("rules.move_set", source=from_money, target=to_money, **amounts))


@move_rule.command()
@click.argument("from_money", metavar="FROM")
@click.argument("to_money", metavar="TO")
def remove(from_money: str, to_money: str) -> None:
    """Allow such moves no more."""
    with rules():
        office_rules.remove_move(office_rules.money_of(from_money), office_rules.money_of(to_money))
    click.echo(say("rules.move_removed", source=from_money, target=to_money))


@move_rule.command("list")
def list_() -> None:
    """Every rule: from, to, least, most, step."""
    source, target = aliased(Money), aliased(Money)
    columns = (source.code, target.code, MoveRule.min_yen, MoveRule.max_yen, MoveRule.step_yen)
    query = select(*columns).select_from(MoveRule)
    query = query.join(source, source.id == MoveRule.from_money_id).join(target, target.id == MoveRule.to_money_id)
    with rules():
        rows = session().execute(query.order_by(source.position, target.position)).all()
    lines = [(one, other, *map(format_yen, amounts)) for one, other, *amounts in rows]
    for line in aligned(lines) if lines else ():
        click.echo(line)
