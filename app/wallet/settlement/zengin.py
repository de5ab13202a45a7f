"""The banks' file for transfers (全銀フォーマット 総合振込): records of 120 bytes in JIS X 0201.

Source: 全国銀行協会「全銀協パーソナル・コンピュータ用標準通信プロトコル（ベーシック手順）適用業務および
レコード・フォーマット」(2019-12), section 8 総合振込レコード・フォーマット; and banks' own guides where it leaves a
choice: 群馬銀行「全銀協制定ファイルフォーマット【総合振込】」 (手形交換所番号 unused: zeros; 122 bytes with CR LF),
三井住友銀行「ファイルレイアウト（総合振込・全銀形式）」 (振込指定区分 7: by wire; 新規コード 0: other).

Numbers stand at the right of their field, zeros before them; text at the left, spaces after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from app.wallet.settlement.errors import TransferTooLarge

RECORD_BYTES = 120
MAX_AMOUNT_YEN = 10**10 - 1
MAX_TOTAL_YEN = 10**12 - 1
MAX_RECORDS = 10**6 - 1

_KIND = "21"  # 総合振込
_JIS = "0"
_BY_WIRE = "7"
_EDI = "Y"  # 識別表示: the twenty characters before are EDI information, not two codes of the customer


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An account at a bank's branch. Names are in half-width kana (`app.wallet.settlement.kana`)."""

    bank_code: str
    bank_name: str
    branch_code: str
    branch_name: str
    account_type: int
    """1 ordinary (普通), 2 current (当座), 4 savings (貯蓄)."""
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """Who gets how much. `edi` is told to the payee with the transfer: at most twenty characters."""

    place: Place
    name: str
    amount_yen: int
    edi: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who pays."""

    place: Place
    code: str
    name: str


def transfer_file(requester: Requester, payees: Sequence[Payee], *, on: date, line_ends: bool) -> bytes:
    """The file that pays `payees` on the day `on`. Raises TransferTooLarge."""
    total_yen = sum(payee.amount_yen for payee in payees)
    if max(payee.amount_yen for payee in payees) > MAX_AMOUNT_YEN or total_yen > MAX_TOTAL_YEN:
        raise TransferTooLarge(max_yen=MAX_AMOUNT_YEN)
    if len(payees) > MAX_RECORDS:
        raise TransferTooLarge(max_yen=MAX_TOTAL_YEN)
    records = [
        _header(requester, on),
        *map(_data, payees),
        "8" + _number(len(payees), 6) + _number(total_yen, 12) + " " * 101,
        "9" + " " * 119,
    ]
    return b"".join(_bytes(record) + (b"\r\n" if line_ends else b"") for record in records)


def _header(requester: Requester, on: date) -> str:
    place = requester.place
    return (
        ("1" + _KIND + _JIS)
        + _number(requester.code, 10)
        + _text(requester.name, 40)
        + f"{on:%m%d}"
        + (_number(place.bank_code, 4) + _text(place.bank_name, 15))
        + (_number(place.branch_code, 3) + _text(place.branch_name, 15))
        + (_number(place.account_type, 1) + _number(place.number, 7))
        + " " * 17
    )


def _data(payee: Payee) -> str:
    place = payee.place
    return (
        "2"
        + (_number(place.bank_code, 4) + _text(place.bank_name, 15))
        + (_number(place.branch_code, 3) + _text(place.branch_name, 15))
        + _number(0, 4)  # 手形交換所番号
        + (_number(place.account_type, 1) + _number(place.number, 7))
        + _text(payee.name, 30)
        + _number(payee.amount_yen, 10)
        + "0"  # 新規コード
        + _text(payee.edi, 20)
        + (_BY_WIRE + _EDI)
        + " " * 7
    )


def _number(value: int | str, digits: int) -> str:
    written = f"{value:0>{digits}}"
    assert len(written) == digits, "checked where it was entered"
    assert written.isascii() and written.isdigit()
    return written


def _text(value: str, length: int) -> str:
    assert len(value) <= length, "checked where it was entered"
    return value.ljust(length)


def _bytes(record: str) -> bytes:
    """JIS X 0201: the half-width kana of Shift_JIS, one byte each."""
    encoded = record.encode("shift_jis")
    assert len(encoded) == RECORD_BYTES
    return encoded
