"""The words of mail, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from jinja2 import UndefinedError, meta

from app.messaging import compose
from app.messaging.compose import compose_mail

FOLDER = Path(compose.__file__).parent / "templates" / "messaging"
VALUES = {"family_name": "生協", "given_name": "花子", "digits": "012345", "minutes": 10}


@pytest.mark.parametrize(
    ("locale", "subject", "first_line"),
    [
        ("ja", "【試験生協】確認コードのお知らせ", "生協 花子 様"),
        ("en", "Your code to sign in to Test Co-op", "Dear 花子 生協,"),
    ],
)
def test_the_code_stands_alone_on_its_line(app: Flask, locale: str, subject: str, first_line: str) -> None:
    with app.app_context():
        mail = compose_mail(to="a@example.ac.jp", message="sign_in_code", locale=locale, **VALUES)
    assert (mail["to"], mail["subject"]) == ("a@example.ac.jp", subject)
    lines = mail["text"].splitlines()
    assert lines[0] == first_line
    assert "    012345" in lines


def test_a_missing_value_is_an_error_not_a_gap(app: Flask) -> None:
    with app.app_context(), pytest.raises(UndefinedError):
        compose_mail(to="a@example.ac.jp", message="sign_in_code", locale="ja", digits="012345")


def test_every_mail_exists_in_both_languages_with_the_same_values() -> None:
    def values(path: Path) -> set[str]:
        return meta.find_undeclared_variables(compose._TEMPLATES.parse(path.read_text()))

    japanese = sorted(FOLDER.glob("*.ja.txt"))
    assert japanese
    assert {path.name.replace(".ja.", ".en.") for path in japanese} == {path.name for path in FOLDER.glob("*.en.txt")}
    for path in japanese:
        assert values(path) == values(path.with_name(path.name.replace(".ja.", ".en.")))
