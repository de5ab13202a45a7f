"""As much of a browser as pages without JavaScript need, over real HTTP."""

from __future__ import annotations

import html
import re
from urllib.parse import urljoin, urlsplit

import requests

from tests.live import Live, Person

TIMEOUT_S = 30


class Browser:
    """One visitor, with the cookies they got. It follows redirects and refreshes up to another site's address."""

    def __init__(self, server: Live) -> None:
        self._server = server
        self.http = requests.Session()
        self.redirects: list[int] = []
        """The status of each redirect it met."""

    def open(self, address: str) -> requests.Response:
        """Open a page, at an address or path."""
        address = urljoin(self._server.url, address)
        return self._follow(self.http.get(address, allow_redirects=False, timeout=TIMEOUT_S))

    def send(self, page: requests.Response, **fields: str | list[str] | None) -> requests.Response:
        """Send the first form of a page with these fields; None leaves one out."""
        action = re.search(r'<form[^>]*action="([^"]*)"', page.text)
        hidden = re.findall(
            r'<input[^>]* name="([^"]+)"(?! value="[^"]*" type="checkbox")[^>]* value="([^"]*)"', page.text
        )
        assert action, page.text
        address = urljoin(page.url, html.unescape(action[1]))
        form = {**dict(hidden), **fields}
        return self._follow(self.http.post(address, form, allow_redirects=False, timeout=TIMEOUT_S))

    def sign_in(self, page: requests.Response, person: Person, *, mails_before: int = 0) -> requests.Response:
        """From the sign-in page to where it leads back. `mails_before` of its codes were mailed to them already."""
        page = self.send(page, email=person.email, password=person.password)
        return self.follow_refresh(self.send(page, code=self._server.mailed_code(person.email, after=mails_before)))

    def follow_refresh(self, page: requests.Response) -> requests.Response:
        """Go on from a page that leads on by itself."""
        refresh = re.search(r'http-equiv="refresh" content="0; ?url=([^"]*)"', page.text, re.IGNORECASE)
        assert refresh, page.text
        return self.open(urljoin(page.url, html.unescape(refresh[1])))

    def _follow(self, response: requests.Response) -> requests.Response:
        while "Location" in response.headers:
            self.redirects.append(response.status_code)
            assert response.status_code == 303
            address = urljoin(response.url, response.headers["Location"])
            if not self._is_here(address):
                return response
            response = self.http.get(address, allow_redirects=False, timeout=TIMEOUT_S)
        return response

    def _is_here(self, address: str) -> bool:
        here, there = urlsplit(self._server.url), urlsplit(address)
        return (here.scheme, here.netloc) == (there.scheme, there.netloc)
