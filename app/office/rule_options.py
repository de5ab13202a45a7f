"""Options that the office's commands about monies and shops share, and how they say a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.db import transaction
from app.money import MAX_SUM_YEN, format_yen
from app.office.database import office
from app.wallet.office_rules import InvalidRule
from app.web.terminal import say

YEN = click.IntRange(1, MAX_SUM_YEN)
YEN_OR_NONE = click.IntRange(0, MAX_SUM_YEN)
"""Zero takes a limit away."""


@contextmanager
def rules() -> Iterator[None]:
    """A transaction in which the office changes rules, with every refusal said."""
    with office():
        try:
            with transaction():
                yield
        except InvalidRule as error:
            raise click.ClickException(say(f"rules.{error.detail['field']}")) from None


def yen(amount: int | None) -> str:
    """An amount, or that there is no limit."""
    return say("wallet.no_limit") if amount is None else format_yen(amount)


def percent(bp: int) -> str:
    return f"{bp / 100:g} %"
