"""The page of each error: what it means and what to do, to whoever follows the link in an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from flask.testing import FlaskClient

from app.web.locale import LOCALES
from tests.conftest import ROOT


def codes(path: Path) -> list[str]:
    with path.open("rb") as file:
        keys = [str(message.id) for message in read_po(file)]
    return [found[1] for key in keys if (found := re.fullmatch(r"error\.([a-z_]+)", key))]


CODES = [code for path in sorted((ROOT / "app/translations/ja").glob("*.po")) for code in codes(path)]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("code", CODES)
def test_it_reads_as_sentences(client: FlaskClient, code: str, locale: str) -> None:
    page = client.get(f"/docs/errors/{code}", headers={"Accept-Language": locale})
    assert page.status_code == 200
    for raw in ("%(", ")s", f"error.{code}", "docs.any"):
        assert raw not in page.text


@pytest.mark.parametrize("code", ["not_found.cure", "nothing_like_it", ".", "_", "%28parameter%29s", "あ"])
def test_what_is_no_code_has_no_page(client: FlaskClient, code: str) -> None:
    assert client.get(f"/docs/errors/{code}").status_code == 404
