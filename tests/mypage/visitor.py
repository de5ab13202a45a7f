"""A member with a browser, over plain HTTP: follows links, fills in forms, keeps cookies."""

from __future__ import annotations

import re
from collections.abc import Collection
from html import unescape
from typing import Any
from urllib.parse import urljoin

import requests
from requests import Response

from app.mypage.session import COOKIE, Seal
from tests.live import Live, Person

_FORM = re.compile(r'<form[^>]*method="post"[^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Visitor(requests.Session):
    """Both hosts are `localhost`, so one jar holds the server's cookies and the member page's, as in a browser."""

    def __init__(self, live: Live, *, locale: str = "ja") -> None:
        super().__init__()
        self.live = live
        self.home = f"{live.mypage.url}/"
        self.headers["Accept-Language"] = locale
        self._seal = Seal(live.mypage.derived_key("session"))

    def submit(self, page: Response, *, form: str = "", **fields: Any) -> Response:
        """Send the first form of a page whose action contains `form`."""
        action, content = next(found for found in _FORM.findall(page.text) if form in found[0])
        token = _TOKEN.search(content)
        assert token
        return self.post(urljoin(page.url, unescape(action)), data={"csrf_token": token[1], **fields})

    def sign_in(self, person: Person) -> Response:
        """From the member page to the consent page, or to HOME where nothing is asked any more."""
        page = self.get(f"{self.home}login")
        page = self.submit(page, email=person.email, password=person.password)
        page = self.submit(page, code=self.live.mailed_code(person.email))
        onward = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
        assert onward, page.text
        return self.get(urljoin(page.url, unescape(onward[1])))

    def decide(self, page: Response, permissions: Collection[str], *, decision: str = "allow") -> Response:
        """On the consent page."""
        return self.submit(page, form="/oauth/authorize", permission=list(permissions), decision=decision)

    def enter(self, person: Person, permissions: Collection[str] = ("balance", "history")) -> Response:
        """All the way to HOME."""
        return self.decide(self.sign_in(person), permissions)

    @property
    def cookie(self) -> Any:
        """The member page's cookie as the browser holds it."""
        return next((each for each in self.cookies if each.name == COOKIE), None)

    def opened(self) -> dict[str, Any]:
        """What is sealed in the member page's cookie."""
        return self._seal.loads(self.cookie.value, max_age=60) if self.cookie else {}

    def reseal(self, **changes: Any) -> None:
        """Change what the cookie holds, as only the member page itself could."""
        self.cookie.value = self._seal.dumps({**self.opened(), **changes})
