"""`kumiai wallet …`: how the office closes a member's wallets and sets limits of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from sqlalchemy import select

from app.db import session, transaction
from app.member import service as members
from app.money import MAX_SUM_YEN, format_yen
from app.office.database import office
from app.office.member_commands import actor, member_id_of
from app.wallet import closing, payout
from app.wallet.closing import Plan
from app.wallet.models import Money, Wallet
from app.wallet.payout import Quota
from app.wallet.postings import Refused
from app.web.terminal import aligned, say

_YEN = click.IntRange(0, MAX_SUM_YEN)


@click.group()
def wallet() -> None:
    """Close members' wallets, limit them."""


@wallet.command()
@click.argument("email")
@click.option("--money", help="Only the wallet of this money.")
@click.option("--reason", type=click.Choice(closing.REASONS), required=True, help="The legal reason to pay out.")
@click.option("--dry-run", is_flag=True, help="Say what would be paid out, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def close(email: str, money: str | None, reason: str, dry_run: bool, yes: bool) -> None:
    """Close a member's wallets for ever, and the account with the last one. Asked again, it goes on where it died."""
    with office(server=True):
        with transaction():
            member_id = member_id_of(email)
            chosen, quota = closing.plans(member_id, money=money), payout.open_period()
        for line in _said(chosen, quota if reason == "small_amount" else None):
            click.echo(line)
        if dry_run:
            return
        total = format_yen(sum(plan.paid_out_yen for plan in chosen))
        if chosen and not yes and not click.confirm(say("wallet.sure", name=members.name_of(member_id), total=total)):
            raise click.ClickException(say("wallet.not_closed"))
        outcomes, is_closed = closing.close(
            member_id, chosen, reason=reason, period_begins_on=quota.begins_on, actor=actor()
        )
        with transaction():
            refused = [_became(plan, outcome) for plan, outcome in zip(chosen, outcomes, strict=True)]
            click.echo(say("wallet.paid_out", amount=format_yen(closing.paid_out(member_id))))
    if is_closed:
        click.echo(say("wallet.account_closed"))
    if any(refused):
        raise SystemExit(1)


@wallet.command()
@click.argument("email")
@click.argument("money")
@click.option("--per-payment", "max_per_payment_yen", type=_YEN, help="Yen; 0: none of its own.")
@click.option("--per-day", "max_per_day_yen", type=_YEN)
@click.option("--per-month", "max_per_month_yen", type=_YEN)
def limits(email: str, money: str, **limits: int | None) -> None:
    """Limit what one wallet spends, below what its money allows. What is not named stays."""
    with office(), transaction():
        row = _wallet(email, money)
        for name, value in limits.items():
            if value is not None:
                setattr(row, name, value or None)
        said = {name: _limit(getattr(row, f"max_per_{name}_yen")) for name in ("payment", "day", "month")}
    click.echo(say("wallet.limits_set", money=money, **said))


def _wallet(email: str, money: str) -> Wallet:
    """The wallet, locked as the poster locks it. Raises ClickException."""
    mine = (Wallet.member_id == member_id_of(email), Money.code == money)
    found = select(Wallet).join(Money).where(*mine).with_for_update(of=Wallet, key_share=True)
    row = session().scalars(found).one_or_none()
    if row is None:
        raise click.ClickException(say("wallet.none", money=money))
    return row


def _limit(yen: int | None) -> str:
    return say("wallet.no_limit") if yen is None else format_yen(yen)


def _said(chosen: Sequence[Plan], quota: Quota | None) -> list[str]:
    if not chosen:
        return [say("wallet.nothing")]
    heads = ("member.col.money", "wallet.col.paid_out", "wallet.col.forfeited", "wallet.col.expired", "member.col.held")
    lines = [tuple(map(say, heads))]
    for plan in chosen:
        sums = (plan.paid_out_yen, plan.forfeited_yen, plan.expired_yen, plan.held_yen)
        lines.append((plan.money, *map(format_yen, sums)))
    said = list(aligned(lines))
    if quota is not None:
        sums_of = {"left": quota.left_yen, "quota": quota.quota_yen}
        sums_of |= {"issued": quota.issued_before_yen, "unused": quota.unused_yen}
        amounts = {name: format_yen(yen) for name, yen in sums_of.items()}
        said.append(say("wallet.quota", since=quota.begins_on.isoformat(), **amounts))
    return said


def _became(plan: Plan, outcome: Any) -> bool:
    """Say what became of a wallet, and what is to be handed over, by the ledger and not by the plan, after which it
    may have been charged or spent from; returns whether it is still open."""
    if not isinstance(outcome, Refused):
        paid_out_yen = closing.paid_out_by(outcome.transaction_id)
        click.echo(say("wallet.closed", money=plan.money, amount=format_yen(paid_out_yen)))
        return False
    if outcome.code == "wallet_closed":  # another run was faster
        return False
    detail = {"amount": "", **outcome.detail}
    click.echo(say("wallet.refused", money=plan.money, why=say(f"error.{outcome.code}", **detail)))
    return True
