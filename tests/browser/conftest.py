"""A real Chromium over the running product."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOW_TO_GET_IT = "no Chromium on this machine; on Debian: apt-get install chromium fonts-noto-cjk"

Open = Callable[..., Page]


@pytest.fixture(scope="module")  # not the session: Playwright's event loop would be in the way of other tests' own
def chromium() -> Iterator[Browser]:
    """Chromium. Without one the tests are skipped; with KUMIAI_REQUIRE_BROWSER=1 they fail."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        if os.environ.get("KUMIAI_REQUIRE_BROWSER") == "1":
            pytest.fail(HOW_TO_GET_IT)
        pytest.skip(HOW_TO_GET_IT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Makes a page in a browser profile of its own: `open_page(width=390, locale="en-GB")`."""
    with ExitStack() as stack:

        def make(*, width: int = 1280, height: int = 900, locale: str = "ja-JP", **options: Any) -> Page:
            context = chromium.new_context(viewport={"width": width, "height": height}, locale=locale, **options)
            stack.callback(context.close)
            context.set_default_timeout(15_000)
            return context.new_page()

        yield make
