"""Payments and holds: value for a shop, taken at once, or set aside and then captured or released."""

from __future__ import annotations

from uuid import UUID

from app.wallet.books import EndedHold, HoldState, NewHold, NewTransaction, WalletState
from app.wallet.law.controls import check_active, check_controls
from app.wallet.law.draft import Draft, Entry, Refusal
from app.wallet.law.spending import Share, grant_points, open_shop, shares
from app.wallet.law.wallets import active_wallet, check_amount
from app.wallet.postings import Capture, Hold, Payment, Release, Spending


def check_code(draft: Draft, code_id: UUID | None) -> None:
    """A one-time code, where one was scanned, must be open."""
    if code_id is None:
        return
    code = draft.books.codes.get(code_id)
    if code is None:
        raise Refusal("code_unknown")
    status = "used" if code_id in draft.codes else code.status
    if status != "open":
        raise Refusal(f"code_{status}")


def use_code(draft: Draft, code_id: UUID | None, transaction_id: UUID) -> None:
    """The code is used up by this transaction."""
    if code_id is not None:
        draft.codes[code_id] = transaction_id


def payment(draft: Draft, transaction_id: UUID, posting: Payment) -> NewTransaction:
    check_code(draft, posting.code_id)
    found = _judged(draft, posting)
    use_code(draft, posting.code_id, transaction_id)
    entry = Entry(draft, transaction_id)
    for share in found:
        for lot, part_yen in share.lots:
            entry.take(share.wallet, lot, credit=share.takings, amount_yen=part_yen)
    _count(draft, posting, found)
    points_yen = grant_points(
        entry,
        shop=draft.books.rules.shops[posting.shop_id],
        member_id=posting.member_id,
        paid=[(share.rule, share.amount_yen) for share in found],
    )
    return _transaction(entry, posting, kind="payment", amount_yen=posting.amount_yen, points_yen=points_yen)


def hold(draft: Draft, transaction_id: UUID, posting: Hold) -> NewTransaction:
    found = _judged(draft, posting)
    entry = Entry(draft, transaction_id)
    for share in found:
        for lot, part_yen in share.lots:
            entry.hold(share.wallet, lot, part_yen)
    _count(draft, posting, found)
    new = _transaction(entry, posting, kind="hold", amount_yen=posting.amount_yen)
    new.hold = NewHold(
        posting=posting, parts=tuple((lot.id, part_yen) for share in found for lot, part_yen in share.lots)
    )
    return new


def capture(draft: Draft, transaction_id: UUID, posting: Capture) -> NewTransaction:
    held = _open_hold(draft, posting.hold_id, posting.requester)
    if held.is_over:
        raise Refusal("hold_expired", hold_id=str(held.id))
    amount_yen = held.amount_yen if posting.amount_yen is None else posting.amount_yen
    check_amount(amount_yen)
    if amount_yen > held.amount_yen:
        raise Refusal("capture_exceeds_hold", max_yen=held.amount_yen)
    check_active(draft, held.controls)
    shop = open_shop(draft, held.shop_id)
    for account_id, _ in held.parts:
        wallet, _ = draft.books.lots[account_id]
        active_wallet(draft, wallet.member_id, wallet.money)
    entry = Entry(draft, transaction_id)
    paid = _take_held(entry, held, amount_yen)
    _end(draft, held, "captured", rest=paid.rest_yen, rest_yen=held.amount_yen - amount_yen)
    points_yen = grant_points(
        entry,
        shop=shop,
        member_id=held.member_id,
        paid=[(draft.books.rules.monies[money], yen) for money, yen in paid.monies.items()],
    )
    new = _of_hold(entry, posting, held, kind="capture", amount_yen=amount_yen)
    new.points_yen = points_yen
    new.ended_hold = EndedHold(id=held.id, state="captured", captured_yen=amount_yen)
    return new


def release(draft: Draft, transaction_id: UUID, posting: Release) -> NewTransaction:
    held = _open_hold(draft, posting.hold_id, None if posting.expired else posting.requester)
    if posting.expired and not held.is_over:
        raise Refusal("hold_not_expired", hold_id=str(held.id))
    entry = Entry(draft, transaction_id)
    paid = _take_held(entry, held, 0)
    state = "expired" if posting.expired else "released"
    _end(draft, held, state, rest=paid.rest_yen, rest_yen=held.amount_yen)
    new = _of_hold(entry, posting, held, kind="release", amount_yen=held.amount_yen)
    new.ended_hold = EndedHold(id=held.id, state=state)
    return new


def _judged(draft: Draft, posting: Spending) -> list[Share]:
    """All that must be true before a member's value goes to a shop, or is set aside for one."""
    check_amount(posting.amount_yen)
    if posting.items and sum(item.amount_yen for item in posting.items) != posting.amount_yen:
        raise Refusal("items_do_not_add_up", amount_yen=posting.amount_yen)
    check_controls(draft, posting.controls, money=posting.money, shop_id=posting.shop_id, amount_yen=posting.amount_yen)
    return shares(draft, posting)


def _count(draft: Draft, posting: Spending, found: list[Share]) -> None:
    draft.spend(posting.controls, posting.amount_yen)
    for share in found:
        change = draft.wallet_change(share.wallet)
        change.day_yen += share.amount_yen
        change.month_yen += share.amount_yen


def _open_hold(draft: Draft, hold_id: UUID, requester: str | None) -> HoldState:
    """A hold that is neither captured nor ended. Another client's is unknown to this one."""
    held = draft.books.holds.get(hold_id)
    if held is None or (requester is not None and held.requester != requester):
        raise Refusal("hold_unknown")
    state = draft.ended_holds.get(hold_id, held.state)
    if state != "held":
        code = {"captured": "hold_already_captured", "released": "hold_released", "expired": "hold_expired"}[state]
        raise Refusal(code, hold_id=str(hold_id))
    return held


class _Taken:
    """What a capture takes of each money, and what it leaves of each wallet."""

    def __init__(self) -> None:
        self.monies: dict[str, int] = {}
        self.rest_yen: dict[WalletState, int] = {}


def _take_held(entry: Entry, held: HoldState, amount_yen: int) -> _Taken:
    """Free what is held, and take of it the amount, in the order in which it was set aside."""
    books = entry.draft.books
    taken = _Taken()
    for account_id, held_yen in held.parts:
        wallet, lot = books.lots[account_id]
        entry.hold(wallet, lot, -held_yen)
        part_yen = min(amount_yen, held_yen)
        if part_yen:
            takings_id = books.rules.shops[held.shop_id].monies[wallet.money].takings_id
            entry.take(wallet, lot, credit=books.account(takings_id, lot.money_id), amount_yen=part_yen)
            taken.monies[wallet.money] = taken.monies.get(wallet.money, 0) + part_yen
            amount_yen -= part_yen
        if held_yen > part_yen:
            taken.rest_yen[wallet] = taken.rest_yen.get(wallet, 0) + held_yen - part_yen
    assert amount_yen == 0, "a hold's parts add up to it"
    return taken


def _end(draft: Draft, held: HoldState, state: str, *, rest: dict[WalletState, int], rest_yen: int) -> None:
    draft.ended_holds[held.id] = state
    draft.give_back(held, rest, rest_yen)


def _transaction(
    entry: Entry,
    posting: Spending,
    *,
    kind: str,
    amount_yen: int,
    points_yen: int = 0,
) -> NewTransaction:
    books = entry.draft.books
    wallet: WalletState = books.wallets[posting.member_id, posting.money]
    return NewTransaction(
        id=entry.transaction_id,
        kind=kind,
        posting=posting,
        member_id=posting.member_id,
        money=posting.money,
        money_id=books.rules.monies[posting.money].id,
        shop_id=posting.shop_id,
        amount_yen=amount_yen,
        balance_yen=entry.balance_yen(wallet),
        transfers=entry.transfers,
        before=entry.before,
        parts=entry.parts(),
        points_yen=points_yen,
    )


def _of_hold(
    entry: Entry,
    posting: Capture | Release,
    held: HoldState,
    *,
    kind: str,
    amount_yen: int,
) -> NewTransaction:
    books = entry.draft.books
    return NewTransaction(
        id=entry.transaction_id,
        kind=kind,
        posting=posting,
        member_id=held.member_id,
        money=held.money,
        money_id=books.rules.monies[held.money].id,
        shop_id=held.shop_id,
        amount_yen=amount_yen,
        balance_yen=entry.balance_yen(books.wallets.get((held.member_id, held.money))),
        transfers=entry.transfers,
        before=entry.before,
        parts=entry.parts(),
    )
