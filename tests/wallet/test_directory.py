"""The names of monies and shops that answers show."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from app.db import dispose
from app.factory import create_app
from app.settings import Settings
from app.wallet import directory
from tests import factories
from tests.wallet.wire import wire


def test_names_come_from_an_older_copy_while_the_database_is_away(
    app: Flask, database_url: str, make_settings: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are shown in answers about value that has moved: a 503 would say that it has not."""
    with app.app_context():
        known = factories.money()
    monkeypatch.setattr(directory, "MAX_AGE_S", 0.0)
    with wire(database_url) as between, create_app(make_settings(between.url)).app_context():
        assert directory.money(known) is not None
        between.go_away()
        assert directory.money(known) is not None
        with pytest.raises(OperationalError):
            directory.money("never_heard_of")
        between.come_back()
        assert directory.money("never_heard_of") is None
        dispose()
