from __future__ import annotations

import pytest
from flask import Flask

from tests.reader.stand import Stand
from tests.reader.stand import stand as make_stand


@pytest.fixture
def stand(app: Flask) -> Stand:
    with app.app_context():
        return make_stand()
