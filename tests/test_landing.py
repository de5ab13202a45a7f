"""The first page of the server."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize(("locale", "title"), [("ja", "生協の電子マネー"), ("en", "The co-op’s own e-money")])
def test_leads_to_the_member_page_and_the_documentation(client: FlaskClient, locale: str, title: str) -> None:
    page = client.get("/", headers={"Accept-Language": locale})
    assert page.status_code == 200
    assert title in page.text
    assert 'href="http://localhost:8001"' in page.text
    assert 'href="/docs"' in page.text
