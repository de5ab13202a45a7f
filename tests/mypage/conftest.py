"""Visitors of the running member page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.live import Live, Person
from tests.mypage.stall import Stall
from tests.mypage.stall import stall as make_stall
from tests.mypage.visitor import Visitor


@pytest.fixture
def person(live_server: Live) -> Person:
    return live_server.register()


@pytest.fixture
def new_visitor(live_server: Live) -> Iterator[Callable[..., Visitor]]:
    """Makes a visitor with an empty browser."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Visitor(live_server, **options))


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Visitor:
    return new_visitor()


@pytest.fixture(scope="module")
def stall(live_server: Live) -> Stall:
    return make_stall(live_server)
