"""What the clerk and the member see: the amount, and a result that no one can mistake.

The sentences are in ja.json and en.json: the till installs without the server's translations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from unicodedata import east_asian_width

import click

from app.reader.agent.server import Accepted, Answer, Refused, Unknown
from app.reader.agent.spool import Tap

LANGS = ("ja", "en")


def lang_of(locale: str) -> str:
    """The language for a LANG such as `en_US.UTF-8`; Japanese unless it says English."""
    return "en" if locale.lower().startswith("en") else "ja"


class Screen:
    """A terminal window. Everything is said in `lang`."""

    def __init__(self, lang: str) -> None:
        text = files("app.reader.agent").joinpath(f"{lang}.json").read_text(encoding="utf-8")
        self._sentences: Mapping[str, str] = json.loads(text)

    def ask_for_card(self, amount_yen: int) -> None:
        click.echo()
        click.secho(f"  {self._say('due', amount=_yen(amount_yen))}", bold=True)
        click.echo(f"  {self._say('touch')}")

    def card_trouble(self, code: str) -> None:
        """The card was not read: hold it again, or hold another."""
        click.secho(f"  {self._say(code)}", fg="yellow", bold=True)

    def asking(self) -> None:
        click.echo(f"  {self._say('asking')}")

    def asking_again(self) -> None:
        click.secho(f"  {self._say('asking_again')}", fg="yellow")

    def result(self, tap: Tap, answer: Answer) -> None:
        """The answer to a tap."""
        amount = _yen(tap.amount_yen)
        match answer:
            case Accepted():
                self._banner(
                    "green",
                    f"✓ {self._say('paid', amount=_yen(answer.amount_yen))}",
                    f"  {self._say('balance', balance=_yen(answer.balance_yen))}",
                )
                click.echo(f"    {self._say('receipt', receipt_no=answer.receipt_no)}")
            case Refused():
                self._banner("red", f"✗ {self._say('refused', amount=amount)}")
                click.secho(f"    {answer.title}", bold=True)
                if answer.balance_yen is not None:
                    click.echo(f"    {self._say('balance', balance=_yen(answer.balance_yen))}")
                # the server's sentence speaks to a programmer where the clerk has a sentence of their own
                click.echo(f"    {self._sentences.get(f'{answer.code}.cure', answer.cure)}")
            case Unknown():
                self._banner("yellow", f"? {self._say('unknown', amount=amount)}")
                click.secho(f"    {self._say('unknown.cure')}", bold=True)
        click.echo()

    def unfinished(self, count: int) -> None:
        key = "unfinished" if count else "nothing_unfinished"
        click.echo(f"  {self._say(key, count=count)}")

    def unfinished_one(self, tap: Tap) -> None:
        click.echo()
        click.echo(f"  {self._say('unfinished_one', **_which(tap))}")

    def not_begun(self, amount_yen: int, *, paid: Sequence[Tap], unknown: Sequence[Tap]) -> None:
        """Why the sale of `amount_yen` does not begin: earlier payments, which may be this very customer's."""
        self._banner("yellow", f"! {self._say('not_begun', amount=_yen(amount_yen))}")
        for key, taps in (("earlier_paid", paid), ("earlier_unknown", unknown)):
            for tap in taps:
                click.secho(f"    {self._say(key, **_which(tap))}", bold=True)
        click.echo(f"    {self._say('not_begun.unknown' if unknown else 'not_begun.paid')}")
        click.echo()

    def failure(self, code: str, detail: str, *, unfinished: int | None) -> None:
        """Why it stopped, what that means for the money, and what to do. `unfinished` is None where nobody can tell."""
        self._banner("red", f"✗ {self._say(code, detail=detail)}")
        money = "perhaps_paid" if unfinished is None else "unfinished_left" if unfinished else "nothing_taken"
        click.echo(f"    {self._say(money, count=unfinished)}")
        self.cure(code, detail)
        click.echo()

    def cure(self, code: str, detail: str = "") -> None:
        """What to do about `code`, where there is something to do."""
        if f"{code}.cure" in self._sentences:
            click.echo(f"    {self._say(f'{code}.cure', detail=detail)}")

    def _banner(self, colour: str, *lines: str) -> None:
        """A block of colour, so that the result is seen before it is read."""
        width = max(map(_columns, lines)) + 6
        ink = "black" if colour == "yellow" else "white"
        click.echo()
        for line in ("", *lines, ""):
            block = f"   {line}".ljust(width - _columns(line) + len(line))
            click.echo(click.style(block, fg=ink, bg=colour, bold=True))

    def _say(self, key: str, **values: object) -> str:
        return self._sentences[key].format(**values)


def _which(tap: Tap) -> dict[str, str]:
    """What tells people one payment from another: amount, card, time."""
    taken_at = datetime.fromisoformat(tap.taken_at).astimezone()
    return {"amount": _yen(tap.amount_yen), "last4": tap.card.last4, "taken_at": f"{taken_at:%Y-%m-%d %H:%M}"}


def _columns(text: str) -> int:
    """How wide a terminal draws it: a kana takes two columns."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _yen(amount_yen: int) -> str:
    return f"¥{amount_yen:,}"
