from __future__ import annotations

import pytest

from tests.live import Live
from tests.reader.stand import Stand
from tests.reader.stand import stand as make_stand


@pytest.fixture
def live_stand(live_server: Live) -> Stand:
    """A stand on the server that runs in its own process."""
    with live_server.app.app_context():
        return make_stand()
