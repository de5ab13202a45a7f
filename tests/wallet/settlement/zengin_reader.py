"""A reader of 全銀 総合振込 files, by the columns of 全銀協's section 8. It shares nothing with the writer."""

from __future__ import annotations

from dataclasses import dataclass

_HEADER = (1, 2, 1, 10, 40, 4, 4, 15, 3, 15, 1, 7, 17)
_DATA = (1, 4, 15, 3, 15, 4, 1, 7, 30, 10, 1, 20, 1, 1, 7)
_TRAILER = (1, 6, 12, 101)
_NAMES_OF_NUMBERS = {"1": (0, 1, 2, 3, 5, 6, 8, 10, 11), "2": (0, 1, 3, 5, 6, 7, 9, 10, 12), "8": (0, 1, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    bank: str
    bank_name: str
    branch: str
    branch_name: str
    account_type: str
    number: str
    name: str
    amount_yen: int
    edi: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    code: str
    name: str
    mmdd: str
    bank: str
    bank_name: str
    branch: str
    branch_name: str
    account_type: str
    number: str
    records: tuple[Record, ...]
    total_yen: int


def read(content: bytes, *, line_ends: bool) -> Read:
    """Take a file apart; every byte must be where the banks' specification has it."""
    step = 122 if line_ends else 120
    assert len(content) % step == 0
    lines = [content[at : at + step] for at in range(0, len(content), step)]
    if line_ends:
        assert all(line[120:] == b"\r\n" for line in lines)
    assert not any(byte in line[:120] for line in lines for byte in (10, 13, 26, 0))
    texts = [_decoded(line[:120]) for line in lines]
    header, *data, trailer, end = texts
    one = _fields(header, _HEADER)
    assert one[:3] == ["1", "21", "0"]
    assert one[12] == " " * 17
    records = tuple(map(_record, data))
    eight = _fields(trailer, _TRAILER)
    assert eight[0] == "8"
    assert eight[3] == " " * 101
    assert int(eight[1]) == len(records)
    assert end == "9" + " " * 119
    total_yen = sum(record.amount_yen for record in records)
    assert int(eight[2]) == total_yen
    return Read(
        code=one[3],
        name=one[4].rstrip(),
        mmdd=one[5],
        bank=one[6],
        bank_name=one[7].rstrip(),
        branch=one[8],
        branch_name=one[9].rstrip(),
        account_type=one[10],
        number=one[11],
        records=records,
        total_yen=total_yen,
    )


def _record(text: str) -> Record:
    two = _fields(text, _DATA)
    assert two[0] == "2"
    assert (two[5], two[10], two[12], two[13], two[14]) == ("0000", "0", "7", "Y", " " * 7)
    assert two[6] in "124"
    assert int(two[9]) > 0
    return Record(
        bank=two[1],
        bank_name=two[2].rstrip(),
        branch=two[3],
        branch_name=two[4].rstrip(),
        account_type=two[6],
        number=two[7],
        name=two[8].rstrip(),
        amount_yen=int(two[9]),
        edi=two[11].rstrip(),
    )


def _fields(text: str, widths: tuple[int, ...]) -> list[str]:
    assert sum(widths) == 120
    fields, at = [], 0
    for width in widths:
        fields.append(text[at : at + width])
        at += width
    assert all(fields[n].isascii() and fields[n].isdigit() for n in _NAMES_OF_NUMBERS[text[0]])
    return fields


def _decoded(line: bytes) -> str:
    """JIS X 0201, byte by byte: the right half is the half-width katakana block of Unicode, in the same order."""
    return "".join(chr(byte) if byte < 0x80 else chr(byte - 0xA1 + 0xFF61) for byte in line)
