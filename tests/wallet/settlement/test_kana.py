"""What a bank's file can hold: kana, capitals, digits and a few marks, one byte each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.settlement.errors import BankTextTooLong, UnwritableKana
from app.wallet.settlement.kana import ALLOWED, half_width


def written(text: str, *, max_characters: int = 30) -> str:
    return half_width(text, field="holder", max_characters=max_characters)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("トウトダイガク", "ﾄｳﾄﾀﾞｲｶﾞｸ"),
        ("とうとだいがく", "ﾄｳﾄﾀﾞｲｶﾞｸ"),
        ("ﾄｳﾄﾀﾞｲｶﾞｸ", "ﾄｳﾄﾀﾞｲｶﾞｸ"),
        ("か\u3099っこう", "ｶﾞﾂｺｳ"),
        ("ショップ", "ｼﾖﾂﾌﾟ"),
        ("ｼｮｯﾌﾟ", "ｼﾖﾂﾌﾟ"),
        ("コーヒー", "ｺ-ﾋ-"),
        ("ｺｰﾋｰ", "ｺ-ﾋ-"),
        ("カ）ブックス", "ｶ)ﾌﾞﾂｸｽ"),
        ("（カ", "(ｶ"),
        ("セイキョウ・ホンテン", "ｾｲｷﾖｳ.ﾎﾝﾃﾝ"),
        ("Ｂｏｏｋｓ　Ｃｏ．", "BOOKS CO."),
        ("a‐b–c—d―e−f", "A-B-C-D-E-F"),
        ("ヲトコヰヱ", "ｵﾄｺｲｴ"),
        ("ヴァイオリン", "ｳﾞｱｲｵﾘﾝ"),
        ("  カ  ", "ｶ"),
        ("１２３", "123"),
    ],
)
def test_is_written_as_banks_want_it(text: str, bytes_: str) -> None:
    assert written(text) == bytes_


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("東都大学", "東"),
        ("カ,ブ", ","),
        ("カ/ブ", "/"),
        ("カ「ブ", "「"),
        ("カ\nブ", "U+000A"),
        ("カ\0", "U+0000"),
        ("カ\ud800", "U+D800"),
        ("カ😀", "😀"),
        ("カヽ", "ヽ"),
        ("ｶ､", "、"),
        ("", ""),
        ("   ", ""),
        ("\u200b", "U+200B"),
    ],
)
def test_what_cannot_be_written_is_named_with_its_field(text: str, character: str) -> None:
    with pytest.raises(UnwritableKana) as refusal:
        written(text)
    assert refusal.value.detail == {"field": "holder", "character": character}


def test_too_long_is_said_with_the_length_that_fits() -> None:
    assert written("ガ" * 15) == "ｶﾞ" * 15
    with pytest.raises(BankTextTooLong) as refusal:
        written("ガ" * 15 + "ア")
    assert refusal.value.detail == {"field": "holder", "max": 30}


@given(st.text(st.characters(), max_size=30) | st.text("アァガパーッｶﾞｯabＡ（・をゐ゛ ", max_size=30))
def test_nothing_else_ever_comes_out(text: str) -> None:
    try:
        out = written(text)
    except (UnwritableKana, BankTextTooLong):
        return
    assert set(out) <= ALLOWED
    assert len(out.encode("shift_jis")) == len(out) <= 30
    assert written(out) == out
