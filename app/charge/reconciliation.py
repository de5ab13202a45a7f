"""The gateway's settlement file against what arrived here, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from sqlalchemy import select

from app.charge import crediting
from app.charge.crediting import Key
from app.charge.models import ChargeOrder, ChargeReceived
from app.charge.ports import Gateway, SettledLine
from app.db import session, transaction
from app.issuer import issuer_zone
from app.wallet import directory, ledger
from app.wallet.postings import SYSTEM, Accepted, Adjustment, Outcome

MATCHED, HERE_NOT, THERE_NOT, DIFFERS = "matched", "missing_here", "missing_there", "amount_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one line comes to. Yen are those of the line (`there_yen`) and of what was recorded (`here_yen`)."""

    state: str
    received_id: str
    line: SettledLine | None = None
    there_yen: int | None = None
    here_yen: int | None = None


def compare(gateway: Gateway, text: str) -> list[Finding]:
    """Nothing is changed. Raises ValueError that names the line."""
    lines = list(gateway.settlement(text))
    with transaction():
        found = [_of_line(gateway.name, line) for line in lines]
        return found + list(_missing_there(gateway.name, lines))


def apply(gateway: Gateway, findings: Sequence[Finding]) -> Iterator[tuple[Finding, Outcome | None]]:
    """Post an adjustment for each line that is missing here or differs, with the line as its reason; each once.

    None where nobody can say whose it is, and for what is missing there: that is for people to look into. The name of
    what is missing here is that of its charge, so that an event which comes after all credits nothing more.
    """
    for finding in findings:
        if finding.state == HERE_NOT:
            yield finding, _credit(gateway, finding)
        elif finding.state == DIFFERS:
            yield finding, _correct(gateway, finding)
        elif finding.state == THERE_NOT:
            yield finding, None


def _of_line(name: str, line: SettledLine) -> Finding:
    row = session().get(ChargeReceived, (name, line.received_id))
    here_yen = row.amount_yen if row is not None else None
    state = HERE_NOT if here_yen is None else MATCHED if here_yen == line.amount_yen else DIFFERS
    return Finding(state=state, received_id=line.received_id, line=line, there_yen=line.amount_yen, here_yen=here_yen)


def _missing_there(name: str, lines: Sequence[SettledLine]) -> Iterator[Finding]:
    """What arrived here on the days of the file and is in none of its lines."""
    if not lines:
        return
    days = [line.settled_on for line in lines]
    begin = datetime.combine(min(days), time(), issuer_zone())
    end = datetime.combine(max(days) + timedelta(days=1), time(), issuer_zone())
    known = {line.received_id for line in lines}
    query = select(ChargeReceived.id, ChargeReceived.amount_yen).where(
        ChargeReceived.gateway == name, ChargeReceived.received_at >= begin, ChargeReceived.received_at < end
    )
    for received_id, amount_yen in session().execute(query.order_by(ChargeReceived.received_at)):
        if received_id not in known:
            yield Finding(state=THERE_NOT, received_id=received_id, here_yen=amount_yen)


def _credit(gateway: Gateway, finding: Finding) -> Outcome | None:
    line = finding.line
    assert line is not None
    key = Key(gateway=gateway.name, id=line.received_id)
    with transaction():
        order = session().get(ChargeOrder, line.order_id) if line.order_id is not None else None
        if order is None or order.gateway != gateway.name:
            return None
        crediting.record_settled(order, line)
        if line.amount_yen != order.amount_yen + order.fee_yen:
            return None  # it is on suspense now
        charge = crediting.posting(order, key, as_agreed=False)
        posting = Adjustment(
            requester=charge.requester,
            request_id=charge.request_id,
            params_hash=charge.params_hash,
            member_id=charge.member_id,
            money=charge.money,
            amount_yen=charge.amount_yen,
            book="corrected",
            description=_reason(line),
            metadata=charge.metadata,
        )
    outcome = ledger.post(posting)
    with transaction():
        crediting.mark(key, outcome)
    return outcome


def _correct(gateway: Gateway, finding: Finding) -> Outcome | None:
    """By as much as the file says otherwise, of what was credited."""
    line = finding.line
    assert line is not None
    assert finding.here_yen is not None
    with transaction():
        row = session().get(ChargeReceived, (gateway.name, line.received_id))
        assert row is not None
        order = session().get(ChargeOrder, row.order_id) if row.order_id is not None else None
        if row.state != "credited" or order is None:
            return None
        name = f"charge:{gateway.name}:{line.received_id}:reconcile"
        posting = Adjustment(
            requester=SYSTEM,
            request_id=name,
            params_hash=ledger.params_hash({"reconcile": name, "amount_yen": line.amount_yen}),
            member_id=order.member_id,
            money=directory.money_by_id(order.money_id).code,
            amount_yen=abs(line.amount_yen - finding.here_yen),
            takes_back=line.amount_yen < finding.here_yen,
            book="corrected",
            description=_reason(line),
        )
    return ledger.post(posting)


def _reason(line: SettledLine) -> str:
    return f"settlement {line.settled_on.isoformat()} line {line.number}: {line.received_id} {line.amount_yen}"[:200]


def is_done(outcome: Outcome | None) -> bool:
    return isinstance(outcome, Accepted)
