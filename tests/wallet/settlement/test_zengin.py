"""The banks' file, byte by byte."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.settlement.banking_days import may_transfer
from app.wallet.settlement.errors import TransferTooLarge
from app.wallet.settlement.kana import ALLOWED
from app.wallet.settlement.zengin import Payee, Place, Requester, transfer_file
from tests.wallet.settlement.zengin_reader import read

PLACE = Place(
    bank_code="0001",
    bank_name="ﾐｽﾞﾎ",
    branch_code="001",
    branch_name="ﾄｳｷﾖｳ",
    account_type=1,
    number="0123456",
)
REQUESTER = Requester(place=PLACE, code="0000012345", name="ﾄｳﾄﾀﾞｲｶﾞｸｾｲｷﾖｳ")
PAYEE = Payee(
    place=replace(PLACE, bank_code="9900", bank_name="ﾕｳﾁﾖ", branch_code="018", branch_name="ｾﾞﾛｲﾁﾊﾁ", account_type=4),
    name="ｶ)ﾌﾞﾂｸｽ",
    amount_yen=60_076,
    edi="12",
)
ON = date(2026, 11, 30)

KANA = st.text(sorted(ALLOWED), min_size=1, max_size=15).map(str.strip).filter(bool)
PLACES = st.builds(
    Place,
    bank_code=st.from_regex("[0-9]{4}", fullmatch=True),
    bank_name=KANA,
    branch_code=st.from_regex("[0-9]{3}", fullmatch=True),
    branch_name=KANA,
    account_type=st.sampled_from([1, 2, 4]),
    number=st.from_regex("[0-9]{7}", fullmatch=True),
)
PAYEES = st.builds(
    Payee,
    place=PLACES,
    name=KANA,
    amount_yen=st.integers(1, 9_999_999_999),
    edi=st.from_regex("[0-9]{1,6}(-[0-9]{1,6})?", fullmatch=True),
)


def test_the_very_bytes() -> None:
    content = transfer_file(REQUESTER, [PAYEE], on=ON, line_ends=False)
    assert len(content) == 4 * 120
    header, data, trailer, end = (content[at : at + 120].decode("shift_jis") for at in range(0, 480, 120))
    assert header == (
        "1210"
        "0000012345"
        "ﾄｳﾄﾀﾞｲｶﾞｸｾｲｷﾖｳ                          "
        "1130"
        "0001ﾐｽﾞﾎ           "
        "001ﾄｳｷﾖｳ          "
        "10123456"
        "                 "
    )
    assert data == (
        "2"
        "9900ﾕｳﾁﾖ           "
        "018ｾﾞﾛｲﾁﾊﾁ        "
        "0000"
        "40123456"
        "ｶ)ﾌﾞﾂｸｽ                       "
        "0000060076"
        "0"
        "12                  "
        "7Y"
        "       "
    )
    assert trailer == "8000001000000060076" + " " * 101
    assert end == "9" + " " * 119


def test_line_ends_follow_each_record_where_the_bank_wants_them() -> None:
    content = transfer_file(REQUESTER, [PAYEE], on=ON, line_ends=True)
    assert content.split(b"\r\n")[-1] == b""
    assert content.replace(b"\r\n", b"") == transfer_file(REQUESTER, [PAYEE], on=ON, line_ends=False)


@given(PLACES, st.lists(PAYEES, min_size=1, max_size=6), st.dates(), st.booleans())
def test_another_reader_finds_what_was_given(place: Place, payees: list[Payee], on: date, line_ends: bool) -> None:
    requester = replace(REQUESTER, place=place)
    found = read(transfer_file(requester, payees, on=on, line_ends=line_ends), line_ends=line_ends)
    assert (found.code, found.name, found.mmdd) == (requester.code, requester.name, on.strftime("%m%d"))
    assert (found.bank, found.bank_name, found.branch, found.branch_name, found.account_type, found.number) == (
        *(place.bank_code, place.bank_name, place.branch_code, place.branch_name),
        *(str(place.account_type), place.number),
    )
    for record, payee in zip(found.records, payees, strict=True):
        assert (record.bank, record.bank_name) == (payee.place.bank_code, payee.place.bank_name)
        assert (record.branch, record.branch_name) == (payee.place.branch_code, payee.place.branch_name)
        assert (record.account_type, record.number) == (str(payee.place.account_type), payee.place.number)
        assert (record.name, record.amount_yen, record.edi) == (payee.name, payee.amount_yen, payee.edi)
    assert found.total_yen == sum(payee.amount_yen for payee in payees)


@pytest.mark.parametrize(
    "payees",
    [[replace(PAYEE, amount_yen=10**10)], [replace(PAYEE, amount_yen=9_999_999_999)] * 101],
    ids=["one amount", "the total"],
)
def test_what_has_no_room_is_refused(payees: list[Payee]) -> None:
    with pytest.raises(TransferTooLarge):
        transfer_file(REQUESTER, payees, on=ON, line_ends=False)


@pytest.mark.parametrize(
    ("on", "possible"),
    [
        (date(2026, 11, 24), True),
        (date(2026, 11, 23), False),  # the day before
        (date(2026, 11, 28), False),  # Saturday
        (date(2026, 11, 29), False),  # Sunday
        (date(2026, 12, 30), True),
        (date(2026, 12, 31), False),
        (date(2027, 1, 1), False),
        (date(2027, 1, 4), True),
        (date(2027, 5, 24), False),  # more than half a year away
    ],
)
def test_banks_do_not_work_every_day(on: date, possible: bool) -> None:
    assert may_transfer(on, today=date(2026, 11, 24)) is possible
