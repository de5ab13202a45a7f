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
CEILINGS = ("max_per_payment_yen", "max_per_day_yen", "max_per_month_yen")
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Visitor(requests.Session):
    """Both hosts are `localhost`, so one jar holds the server's cookies and the member page's, as in a browser."""

    def __init__(self, live: Live, *, locale: str = "ja") -> None:
        super().__init__()
        self.live = live
        self.home = f"{live.mypage.url}/"
        self.headers["Accept-Language"] = locale
        self._codes: dict[str, int] = {}
        self._seal = Seal(live.mypage.derived_key("session"))

    def submit(self, page: Response, *, form: str = "", **fields: Any) -> Response:
        """Send the first form of a page whose action contains `form`."""
        action, content = next(found for found in _FORM.findall(page.text) if form in found[0])
        token = _TOKEN.search(content)
        assert token
        return self.post(urljoin(page.url, unescape(action)), data={"csrf_token": token[1], **fields})

    def sign_in(self, person: Person, page: Response | None = None) -> Response:
        """From the member page (or `page`, the server's sign-in) to the consent page, or on where nothing is asked."""
        page = page or self.get(f"{self.home}login")
        page = self.submit(page, email=person.email, password=person.password)
        already = self._codes.get(person.email, 0)
        page = self.submit(page, code=self.live.mailed_code(person.email, after=already))
        self._codes[person.email] = already + 1
        onward = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page.text)
        assert onward, page.text
        return self.get(urljoin(page.url, unescape(onward[1])))

    def decide(self, page: Response, permissions: Collection[str], *, decision: str = "allow") -> Response:
        """On the consent page. The limits of payment are left as they are offered."""
        limits = {name: _value(page, name) for name in CEILINGS} if "payment" in permissions else {}
        shops = re.findall(r'name="shop" value="([^"]+)"', page.text)
        chosen = {"permission": list(permissions), "decision": decision, "shop": shops, **limits}
        return self.submit(page, form="/oauth/authorize", **chosen)

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


def _value(page: Response, name: str) -> str:
    """What a field holds."""
    tag = re.search(rf'<input[^>]*name="{name}"[^>]*>', page.text)
    assert tag, name
    held = re.search(r'value="([^"]*)"', tag[0])
    assert held, name
    return unescape(held[1])


def hidden(page: Response, form: str) -> dict[str, str]:
    """What the first form of a page whose action contains `form` sends of itself, its token apart."""
    content = next(content for action, content in _FORM.findall(page.text) if form in action)
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', content))
    del fields["csrf_token"]
    checked = re.findall(r'<input type="radio"[^>]*name="([^"]+)" value="([^"]*)" checked', content)
    return {name: unescape(value) for name, value in {**fields, **dict(checked)}.items()}
