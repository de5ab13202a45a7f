"""What a transaction did to the member's wallets, where that follows from its own row and need not be stored."""

from __future__ import annotations

from app.wallet.postings import Part

_TAKES = frozenset({"payment", "expiry", "capture", "close"})
_MOVES_NOTHING = frozenset({"hold", "release", "settlement"})


def signed_yen(kind: str, amount_yen: int) -> int:
    """By how much a transaction of this kind changes what the member has: less than zero where value leaves.

    Of a move this is the money it was moved out of. A hold and its release set aside and free: they change nothing.
    """
    if kind in _MOVES_NOTHING:
        return 0
    return -amount_yen if kind in _TAKES or kind == "move" else amount_yen


def plain_parts(*, kind: str, money: str, amount_yen: int, balance_yen: int) -> tuple[Part, ...]:
    """The parts of a transaction that touches the wallet of its own money by its whole amount, and no other."""
    change_yen = signed_yen(kind, amount_yen)
    return (Part(money, change_yen, balance_yen),) if change_yen else ()
