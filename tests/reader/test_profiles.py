"""FCF blocks: what is written is read, and what is not a student card is refused."""

from __future__ import annotations

import string
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from app.demo.demo_card import NAME_BLOCK, fcf_blocks
from app.reader import profiles
from app.reader.errors import CardUnreadable
from app.reader.profiles import CardText, ProfilesWrong
from tests.oauth.office import kumiai_for

FCF = profiles.profiles()["fcf"]


def parse(blocks: dict[int, bytes]) -> CardText:
    return profiles.parse(blocks, FCF)


student_ids = st.text(string.ascii_uppercase + string.digits, min_size=1, max_size=12)
dates = st.dates(min_value=date(1000, 1, 1))


@given(student_id=student_ids, issue=st.integers(0, 9), valid_until=dates)
def test_what_a_card_was_given_is_read_back(student_id: str, issue: int, valid_until: date) -> None:
    read = parse(fcf_blocks(student_id, issue=issue, valid_until=f"{valid_until:%Y%m%d}".zfill(8)))
    assert (read.student_id, read.issue, read.valid_until) == (student_id, str(issue), valid_until)
    assert (read.school, read.card_number, read.valid_from) == ("99000001", "00010045", date(2026, 4, 1))


@given(blocks=st.dictionaries(st.integers(0, 4), st.binary(max_size=20)))
def test_any_bytes_are_read_or_refused(blocks: dict[int, bytes]) -> None:
    with suppress(CardUnreadable):
        assert parse(blocks).student_id


@given(one=student_ids, other=student_ids)
def test_cards_of_different_students_have_different_identities(one: str, other: str) -> None:
    same = parse(fcf_blocks(one)).identity() == parse(fcf_blocks(other)).identity()
    assert same == (one == other)


def test_a_reissued_card_has_another_identity() -> None:
    assert parse(fcf_blocks(issue=0)).identity() != parse(fcf_blocks(issue=1)).identity()


def test_the_name_and_the_sex_are_not_part_of_what_is_read() -> None:
    blocks = fcf_blocks()
    other = {**blocks, 0: blocks[0][:15] + b"2", NAME_BLOCK: bytes(16)}
    assert parse(blocks) == parse(other)
    assert NAME_BLOCK not in FCF.blocks


def test_a_card_without_an_end_has_no_end() -> None:
    assert parse(fcf_blocks(valid_until="00000000")).valid_until is None


@pytest.mark.parametrize(
    ("number", "block"),
    [
        (0, b" " * 16),
        (0, b"01\xff\xfe".ljust(16)),
        (0, b"01\x0726A10045".ljust(16)),
        (0, b"0126A10045"),
        (2, b"9900000120261332"),
        (3, b"2030 33100010045"),
        (3, b"2030033\xb200010045"),
    ],
    ids=["no student id", "not ASCII", "control character", "short", "no such day", "space in a date", "not a digit"],
)
def test_what_is_no_student_card_is_refused(number: int, block: bytes) -> None:
    with pytest.raises(CardUnreadable):
        parse({**fcf_blocks(), number: block})


def test_a_missing_block_is_refused() -> None:
    blocks = fcf_blocks()
    del blocks[3]
    with pytest.raises(CardUnreadable):
        parse(blocks)


def test_a_school_with_another_layout_is_another_profile() -> None:
    kaede = profiles.profiles()["kaede"]
    faculty = "カエデ".encode("shift_jis").ljust(10, b"\0")
    read = profiles.parse({0: bytes.fromhex("012345678902") + faculty, 1: bytes.fromhex("20300331").ljust(16)}, kaede)
    assert (read.student_id, read.issue, read.school) == ("0123456789", "02", "カエデ")
    assert (read.valid_from, read.valid_until) == (None, date(2030, 3, 31))
    with pytest.raises(CardUnreadable):
        profiles.parse({0: b"\xab" * 16, 1: bytes(16)}, kaede)


OWN = """
[own]
name_ja = "学生証"
name_en = "Card"
system = "FE00"
service = "1A8B"
[own.fields]
student_id = { block = 5, offset = 8, length = 8 }
"""


def test_an_issuer_adds_profiles_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    known = profiles.profiles(path)
    assert set(known) == {"fcf", "kaede", "lite_s", "own"}
    assert (known["own"].system, known["own"].blocks) == (0xFE00, (5,))
    assert profiles.parse({5: b"        S0001   "}, known["own"]).student_id == "S0001"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name_ja = "学生証"\n', "", "name_ja"),
        ('"FE00"', '"FE0"', "system"),
        ("block = 5", 'block = "5"', "student_id.block"),
        ("length = 8", "length = 9", "student_id.length"),
        ("length = 8", 'length = 8, encoding = "ebcdic"', "student_id.encoding"),
        ("student_id", "student", "fields.student"),
        ("name_en", "colour", "name_en|colour"),
        ("[own]", "[own", "own.toml"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_field(tmp_path: Path, before: str, after: str, said: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(before, after, 1))
    with pytest.raises(ProfilesWrong, match=said):
        profiles.profiles(path)


def test_the_server_does_not_start_with_a_wrong_file_and_names_the_field(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace("length = 8", "length = 9", 1))
    kumiai = kumiai_for(replace(app.extensions["kumiai.settings"], reader_profiles=path))
    said = kumiai("run")
    assert (said.exit_code, "student_id.length" in said.output) == (1, True)
    missing = kumiai_for(replace(app.extensions["kumiai.settings"], reader_profiles=tmp_path / "none.toml"))("run")
    assert (missing.exit_code, "none.toml" in missing.output) == (1, True)
