"""The reader of files, held against Python's csv and against whatever people and strangers send."""

from __future__ import annotations

import csv
import io
import json
import resource
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.bulk import reading, text_file
from app.wallet.bulk.columns import FIELDS
from app.wallet.bulk.problems import FileProblem
from app.wallet.bulk.rows import Row

MEMBER = "hanako@example.ac.jp"
GOOD = f"member,money,amount_yen,kind\n{MEMBER},points,500,grant\n"


def read(content: bytes | str, file_format: str = "csv") -> list[Row]:
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(reading.rows(file, file_format=file_format, encoding=text_file.encoding_of(file)))


def why(content: bytes | str, file_format: str = "csv") -> dict[str, Any]:
    with pytest.raises(FileProblem) as refused:
        read(content, file_format)
    return refused.value.stored


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=8), st.sampled_from(["\r\n", "\n", "\r"]))
def test_records_are_what_pythons_csv_wrote(written: list[list[str]], end: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(written)
    file = io.BytesIO(out.getvalue().encode())
    found = list(reading.records(text_file.lines(file, "utf-8")))
    assert [cells for _, cells in found] == written
    assert [line for line, _ in found] == sorted({line for line, _ in found})


@given(st.text(st.sampled_from('ab,"\r\n 学'), max_size=60))
def test_whatever_pythons_csv_reads_is_read_alike(content: str) -> None:
    """Record by record until the first that breaks the rules of quoting."""
    theirs: list[list[str] | None] = []
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        theirs.extend(reader)
    except csv.Error:
        theirs.append(None)
    ours: list[list[str] | None] = []
    try:
        for _, cells in reading.records(text_file.lines(io.BytesIO(content.encode()), "utf-8")):
            ours.append(cells)
            if cells is None:
                break
    except FileProblem as refused:
        assert refused.stored["code"] == "quote_not_closed"
        ours.append(None)
    assert ours == theirs


@given(st.binary(max_size=300), st.sampled_from(["csv", "jsonl"]))
def test_no_bytes_break_the_reader(content: bytes, file_format: str) -> None:
    try:
        rows = read(content, file_format)
    except FileProblem as refused:
        json.dumps(refused.stored)
    else:
        for row in rows:
            json.dumps(row.problems)
            assert row.problems or None not in (row.member, row.money, row.amount_yen, row.kind)


VALUES = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), st.lists, max_leaves=4)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=8))
def test_no_json_object_breaks_the_reader(found: dict[str, Any]) -> None:
    (row,) = read(json.dumps(found), "jsonl")
    json.dumps(row.problems).encode()
    assert row.problems or row.member


def test_lines_are_counted_as_an_editor_does() -> None:
    content = (
        "\r\nmember,money,amount_yen,kind,description\r\n\r\n"
        f'{MEMBER},points,1,grant,"two\r\nlines"\r\n,,,,\r\n{MEMBER},points,2,grant,\u2028one\x0bline\r\n'
    )
    first, second = read(content)
    assert (first.line, first.amount_yen, first.description) == (4, 1, "two lines")
    assert (second.line, second.amount_yen, second.description) == (7, 2, "one line")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_japanese_headers_in_every_encoding(encoding: str) -> None:
    content = (
        "会員メール,マネー,金額,種別,有効期限,摘要\r\n"
        "ｈａｎａｋｏ＠example.ac.jp,ｐｏｉｎｔｓ,￥１，５００,付与,２０２７／３／３１,新入生歓迎ﾎﾟｲﾝﾄ①\r\n"
    )
    file = io.BytesIO(content.encode(encoding))
    assert text_file.encoding_of(file) == encoding
    (row,) = read(content.encode(encoding))
    assert (row.member, row.money, row.amount_yen, row.kind) == (MEMBER, "points", 1500, "grant")
    assert (str(row.expires_on), row.description, row.problems) == ("2027-03-31", "新入生歓迎ﾎﾟｲﾝﾄ①", [])


@pytest.mark.parametrize(
    ("amount", "yen"),
    [
        ("500", 500),
        ("1,500", 1500),
        ("１，５００", 1500),
        ("¥1,500", 1500),
        ("\\1,500", 1500),  # the yen sign of Shift_JIS
        ("1500円", 1500),
        (" 9999999 ", 9_999_999),
        ("007", 7),
    ],
)
def test_amounts_people_write(amount: str, yen: int) -> None:
    (row,) = read(f'member,money,amount_yen,kind\n{MEMBER},points,"{amount}",grant')
    assert (row.amount_yen, row.problems) == (yen, [])


@pytest.mark.parametrize(
    "amount",
    [
        "-5",
        "1.5",
        "1e3",
        "1,50",
        ",500",
        "1,,000",
        "①",
        "10²",
        "٣",
        "五百",
        "0x10",
        "1_000",
        "+5",
        "1 000",
        "NaN",
        "円",
    ],
)
def test_amounts_that_are_none(amount: str) -> None:
    (row,) = read(f'member,money,amount_yen,kind\n{MEMBER},points,"{amount}",grant')
    assert row.problems == [{"field": "amount_yen", "code": "amount_form"}]


@pytest.mark.parametrize("amount", ["0", "10000000", "9" * 19, "9" * 5_000])
def test_amounts_out_of_bounds(amount: str) -> None:
    (row,) = read(f"member,money,amount_yen,kind\n{MEMBER},points,{amount},grant")
    assert row.problems == [{"field": "amount_yen", "code": "amount_range", "max_yen": 9_999_999}]


LINE = {"member": MEMBER, "money": "points", "amount_yen": "500", "kind": "grant"}


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"member": ""}, "member", "missing"),
        ({"member": "hanako"}, "member", "member_form"),
        ({"member": "a@b"}, "member", "member_form"),
        ({"member": "h" * 250 + "@a.jp"}, "member", "too_long"),
        ({"money": "学食"}, "money", "money_form"),
        ({"kind": "gift"}, "kind", "kind_form"),
        ({"kind": "x" * 1000}, "kind", "kind_form"),
        ({"expires_on": "2027-02-29"}, "expires_on", "date_form"),
        ({"expires_on": "31/3/2027"}, "expires_on", "date_form"),
        ({"expires_on": "0000-01-01"}, "expires_on", "date_form"),
        ({"description": "あ" * 201}, "description", "too_long"),
        ({"description": "a\x07b"}, "description", "control_characters"),
        ({"description": "a\x9bb"}, "description", "control_characters"),
        ({"reference": "r" * 101}, "reference", "too_long"),
    ],
)
@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_each_kind_of_bad_value(change: dict[str, str], field: str, code: str, file_format: str) -> None:
    line = {**LINE, **change}
    if file_format == "csv":
        out = io.StringIO(newline="")
        csv.writer(out).writerows([line.keys(), line.values()])
        content, number = out.getvalue(), 2
    else:
        content, number = json.dumps(line), 1
    (row,) = read(content, file_format)
    assert row.line == number
    assert [(each["field"], each["code"]) for each in row.problems] == [(field, code)]


def test_a_bad_line_does_not_hide_the_next() -> None:
    lines = ['x"y,points,1,grant', '"x"y,points,1,grant', f"{MEMBER},points,1", f"{MEMBER},points,1,grant,more"]
    rows = read("\n".join(["member,money,amount_yen,kind", *lines, f"{MEMBER},points,7,grant"]))
    found = [(row.line, [each["code"] for each in row.problems]) for row in rows]
    assert found == [(2, ["member_form"]), (3, ["quoting"]), (4, ["cells"]), (5, ["cells"]), (6, [])]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "json"),
        ("[]", "json"),
        ("7", "json"),
        ("null", "json"),
        ("[" * 10_000, "json"),
        ('{"a":' * 2_000, "json"),
        ('{"member": "a", "member": "b"}', "json_repeated"),
        ('{"memebr": "a"}', "json_unknown"),
        ('{"\\ud800": "a"}', "json_unknown"),
        (json.dumps({**LINE, "amount_yen": True}), "json_text"),
        (json.dumps({**LINE, "member": ["x"]}), "json_text"),
        (json.dumps({**LINE, "amount_yen": 1.5}), "amount_form"),
        (json.dumps({**LINE, "description": "\ud800"}), "control_characters"),
        (json.dumps({**LINE, "description": "\0"}), "control_characters"),
    ],
)
def test_lines_that_are_no_such_object(line: str, code: str) -> None:
    rows = read(f"{line}\n{json.dumps(LINE)}", "jsonl")
    assert [[each["code"] for each in row.problems] for row in rows] == [[code], []]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        ("", "no_rows", None),
        ("\r\n\r\n", "no_rows", None),
        ("member,money,amount_yen,kind\n", "no_rows", None),
        (GOOD.replace("kind", "kinds"), "column_unknown", 1),
        (GOOD.replace("kind", "金額"), "column_repeated", 1),
        ("member,money,amount_yen\n", "column_missing", 1),
        (f"{MEMBER},points,500,grant", "column_unknown", 1),
        ("member;money;amount_yen;kind", "column_unknown", 1),
        (GOOD + '"never closed', "quote_not_closed", 3),
        (GOOD + '"never closed' + "\n" * 100_000, "quote_not_closed", 3),
        (GOOD + '"' + ("x" * 16_000 + "\n") * 9 + GOOD.split("\n")[1] + '\n"', "quote_not_closed", 3),
        (GOOD + "x" * 20_000, "line_too_long", 3),
        ("," * 10_000, "no_rows", None),
        ("a," * 5_000, "no_header", 1),
        ("\0" + GOOD, "not_text", None),
        (GOOD.encode("utf-16"), "utf_16", None),
        (b"\xef\xbb\xbf" + GOOD.encode() + b"\xff", "broken_utf_8", 3),
        (GOOD.encode() + "会員".encode()[:-1], "broken_utf_8", 3),
        (GOOD.encode() + "新入生歓迎ポイント".encode() + b"\xe3\x81\n", "broken_utf_8", 3),
        (b"\xa0\xff\n\x81", "unknown_encoding", 2),
    ],
)
def test_files_that_are_refused_whole(content: bytes | str, code: str, line: int | None) -> None:
    found = why(content)
    assert (found["code"], found["line"]) == (code, line)


def test_one_row_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 2)
    good = f"{MEMBER},points,500,grant\n"
    assert len(read(GOOD + good)) == 2
    assert (why(GOOD + good * 2)["code"], why(GOOD + good * 2)["line"]) == ("too_many_rows", 4)


@pytest.mark.parametrize(
    "content",
    [
        "," * 30_000_000,
        '"' * 30_000_000,
        GOOD + '"a\n' * 300_000,
        GOOD + '"a\n","' * 300_000,
        GOOD + "\n" * 30_000_000,
        GOOD + "\r" * 30_000_000,
    ],
    ids=["columns", "quotes", "a quote that never ends", "many that do", "blank lines", "old blank lines"],
)
def test_a_hostile_file_costs_little_memory(content: str) -> None:
    file = io.BytesIO(content.encode())
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.process_time()
    with pytest.raises(FileProblem):
        for _ in reading.rows(file, file_format="csv", encoding="utf-8"):
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 8_000
    assert time.process_time() - began_s < 5
