from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis

from app.settings import Settings
from tests.conftest import TestServer
from tests.contract.stage import Stage
from tests.contract.stage import stage as make_stage


@pytest.fixture(scope="module")
def stage(postgres: TestServer, template: str, make_settings: Callable[[str], Settings]) -> Iterator[Stage]:
    with postgres.database(template=template) as name, make_stage(make_settings(postgres.url(name))) as made:
        yield made


@pytest.fixture(scope="module")
def api(stage: Stage) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", stage.app)
