"""Changing the language leads back to a page of this site, never elsewhere."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient


def test_it_is_remembered_and_leads_back(client: FlaskClient) -> None:
    answer = client.get("/language/en?back=/login%3Fnext%3D/docs")
    assert (answer.status_code, answer.location) == (303, "/login?next=/docs")
    assert 'lang="en"' in client.get("/login").text


@pytest.mark.parametrize(
    "nasty", ["//evil.example", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "https://evil.example", ""]
)
def test_it_never_leads_to_another_site(client: FlaskClient, nasty: str) -> None:
    answer = client.get("/language/en", query_string={"back": nasty})
    assert (answer.status_code, answer.location) == (303, "/")
