from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis

from app.settings import Settings
from tests.charge.vendor import vendor
from tests.conftest import TestServer
from tests.contract.stage import Stage
from tests.contract.stage import stage as make_stage


@pytest.fixture(scope="module")
def stage(
    postgres: TestServer,
    template: str,
    make_settings: Callable[[str], Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    with (
        postgres.database(template=template) as name,
        vendor(tmp_path_factory.mktemp("sandbox")) as sandbox,
        make_stage(replace(make_settings(postgres.url(name)), **sandbox.settings)) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def api(stage: Stage) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", stage.app)
