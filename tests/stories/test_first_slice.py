"""The first story, as people live it: consent, a payment, a tap, end to end.

`make run`'s own supervisor runs the demo co-op; a member uses Chromium, a third-party app uses a client library
nobody here wrote, the till reads an emulated student card over nfcpy's radio, and the ledger is verified at the end.
Set KUMIAI_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page
from requests_oauth2client import AuthorizationRequest, BearerToken, OAuth2Client

from app.demo import demo_card
from app.demo.seed import ALICE, DEMO_APP_URL, HANAKO, PASSWORD
from app.messaging import maildir
from tests.browser.conftest import Open
from tests.folders import data_folder
from tests.live import ROOT, eventually
from tests.ports import free_port, free_udp_port

pytestmark = pytest.mark.browser

CALLBACK = f"{DEMO_APP_URL}/callback"
KUMIAI = [sys.executable, "-c", "from app.cli import main; main()"]
PHONE, DESKTOP = 390, 1280


@dataclass(frozen=True)
class Demo:
    """The running demo co-op."""

    folder: Path
    server: str
    mypage: str

    @property
    def variables(self) -> dict[str, str]:
        lines = (self.folder / "instance" / "demo.env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def kumiai(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command typed beside `make run`, in the same folder."""
        return subprocess.run(
            [*KUMIAI, *arguments], cwd=self.folder, env=_environment(**env), capture_output=True, text=True, timeout=60
        )

    def mailed_code(self, email: str, *, already: int) -> str:
        """The six digits of the newest mail to `email`, once there are more than `already`."""

        def look() -> str | None:
            texts = [kept.text for kept in maildir.read(self.folder / "instance" / "mailbox") if kept.to == email]
            return texts[0] if len(texts) > already else None

        found = re.search(r"^\s*([0-9]{6})\s*$", eventually(look), re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """`kumiai dev` in an empty folder of its own; Ctrl-C at the end, after which nothing runs."""
    port, mypage_port, sandbox_port = free_port(), free_port(), free_port()
    ports = ("--port", str(port), "--mypage-port", str(mypage_port), "--sandbox-port", str(sandbox_port))
    with (
        data_folder() as folder,
        _running("dev", *ports, folder=folder, says="Ctrl-C"),
    ):
        yield Demo(folder, f"http://localhost:{port}", f"http://localhost:{mypage_port}")


@pytest.fixture
def card(demo: Demo) -> Iterator[int]:
    """The emulated student card, lying on the reader; yields its UDP port."""
    port = free_udp_port()
    with _running("demo", "card", "--port", str(port), folder=demo.folder, says=str(port)):
        yield port


@pytest.fixture
def third_party(demo: Demo) -> OAuth2Client:
    """The third-party app's side, by a library that is not ours and not Authlib."""
    return OAuth2Client.from_discovery_endpoint(
        issuer=demo.server,
        client_id="demo_app",
        client_secret=demo.variables["KUMIAI_DEMO_APP_CLIENT_SECRET"],
        redirect_uri=CALLBACK,
        id_token_signed_response_alg="ES256",
        testing=True,  # loopback, without TLS
    )


def test_consent_a_payment_a_tap(demo: Demo, third_party: OAuth2Client, card: int, open_page: Open) -> None:
    page = open_page(width=DESKTOP)
    page.route(f"{CALLBACK}**", lambda route: route.fulfill(status=200, body="back at the app"))
    start_yen = HANAKO.balances["meal"]

    tokens = _allow_to_read(page, demo, third_party)
    assert _balance_yen(demo, tokens) == start_yen
    refused = _pay(demo, tokens, 450)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")

    tokens = _allow_to_pay(page, third_party, up_to_yen=1_000)
    by_meal_yen = 450 - HANAKO.points_yen
    points_yen = by_meal_yen // 100
    paid = _pay(demo, tokens, 450)
    assert paid.status_code == 201, paid.text
    assert paid.json()["balance_yen"] == start_yen - by_meal_yen
    assert _balance_yen(demo, tokens, "points") == points_yen, "all were spent, and 1 % came back"
    refused = _pay(demo, tokens, 2_000)
    assert (refused.status_code, refused.json()["code"]) == (403, "mandate_exceeded")

    left_yen = start_yen - by_meal_yen - (380 - points_yen)
    _touch_the_card(demo, card, 380, left_yen=left_yen)
    _see_both_payments(page, demo, left_yen=left_yen)

    _send_the_last_tap_once_more(demo, left_yen=left_yen)
    assert _balance_yen(demo, tokens) == left_yen
    assert _balance_yen(demo, tokens, "points") == (380 - points_yen) // 100
    verified = demo.kumiai("ledger", "verify")
    assert verified.returncode == 0, verified.stdout
    assert "clean" in verified.stdout


def _allow_to_read(page: Page, demo: Demo, third_party: OAuth2Client) -> BearerToken:
    """The member signs in with the mailed code and allows balance and history, but not payment."""
    asked = third_party.authorization_request(scope="openid balance history payment")
    page.goto(str(asked))
    _sign_in(page, demo, HANAKO.email)
    page.get_by_role("heading", name="アクセス許可").wait_for()
    assert not page.locator("input[value=payment]").is_checked(), "payment is never ticked beforehand"
    _picture(page, "consent-ja")
    _tick(page, "balance", "history")
    page.get_by_role("button", name="アクセスを許可する").click()
    tokens = _exchange(page, third_party, asked)
    assert tokens.scope == "openid balance history"
    return tokens


def _allow_to_pay(page: Page, third_party: OAuth2Client, *, up_to_yen: int) -> BearerToken:
    """Asked again, the member allows payments up to an amount."""
    asked = third_party.authorization_request(scope="openid balance history payment")
    page.goto(str(asked))
    page.locator("input[name=permission]").first.wait_for()
    _tick(page, "payment")
    page.get_by_label("1回の支払いの上限").fill(str(up_to_yen))
    page.get_by_role("button", name="アクセスを許可する").click()
    tokens = _exchange(page, third_party, asked)
    assert "payment" in (tokens.scope or "")
    return tokens


def _touch_the_card(demo: Demo, card: int, amount_yen: int, *, left_yen: int) -> None:
    """The student card is touched at the till, which shows what is left."""
    reader = {"KUMIAI_TILL_READER": f"udp:localhost:{card}"}
    sale = demo.kumiai("till", "sale", str(amount_yen), **reader)
    assert sale.returncode == 0, sale.stdout + sale.stderr
    assert f"¥{left_yen:,}" in sale.stdout


def _see_both_payments(page: Page, demo: Demo, *, left_yen: int) -> None:
    """The member page shows both, with the new balance, on a desk and on a phone."""
    _enter_mypage(page, demo)
    for width in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": 900})
        home = page.get_by_role("main").inner_text()
        assert f"¥{left_yen:,}" in home
        assert "450" in home
        assert "380" in home
        assert "中央食堂" in home
    page.set_viewport_size({"width": DESKTOP, "height": 900})
    _picture(page, "home-ja")


def _send_the_last_tap_once_more(demo: Demo, *, left_yen: int) -> None:
    """The same tap sent again moves nothing."""
    again = _send_the_last_tap_again(demo)
    assert again.status_code == 201, again.text
    assert again.headers["Idempotency-Hit"] == "true"
    assert again.json()["balance_yen"] == left_yen


def test_the_pages_in_english(demo: Demo, third_party: OAuth2Client, open_page: Open) -> None:
    """The same pages for a member who reads English."""
    page = open_page(width=DESKTOP, locale="en-GB")
    page.route(f"{CALLBACK}**", lambda route: route.fulfill(status=200, body="back at the app"))
    asked = third_party.authorization_request(scope="openid balance history payment")
    page.goto(str(asked))
    _picture(page, "login-en")
    _sign_in(page, demo, ALICE.email)
    page.locator("input[name=permission]").first.wait_for()
    _picture(page, "consent-en")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(f"{CALLBACK}**")
    assert "error=access_denied" in page.url
    _enter_mypage(page, demo, login="Sign in", allow="Allow access")
    assert f"¥{ALICE.balances['meal']:,}" in page.get_by_role("main").inner_text()
    _picture(page, "home-en")


def _sign_in(page: Page, demo: Demo, email: str) -> None:
    already = sum(kept.to == email for kept in maildir.read(demo.folder / "instance" / "mailbox"))
    page.locator("input[name=email]").fill(email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("main").locator("button.primary").click()
    page.wait_for_url("**/login/code**")
    page.locator("input[name=code]").fill(demo.mailed_code(email, already=already))
    page.get_by_role("main").locator("button.primary").click()


def _tick(page: Page, *permissions: str) -> None:
    for box in page.locator("input[name=permission]").all():
        box.set_checked(box.get_attribute("value") in permissions)


def _exchange(page: Page, client: OAuth2Client, asked: AuthorizationRequest) -> BearerToken:
    """The app gets its code back and redeems it: state, iss, PKCE and the ID token are checked by the library."""
    page.wait_for_url(f"{CALLBACK}**")
    tokens = client.authorization_code(asked.validate_callback(page.url), validate=True)
    assert isinstance(tokens, BearerToken)
    return tokens


def _enter_mypage(page: Page, demo: Demo, *, login: str = "ログイン", allow: str = "アクセスを許可する") -> None:
    """Signed in at the server already: one click and one consent."""
    page.goto(demo.mypage)
    page.get_by_role("link", name=login).first.click()
    page.locator("input[name=permission]").first.wait_for()
    _tick(page, "balance", "history")
    page.get_by_role("button", name=allow).click()
    page.wait_for_url(f"{demo.mypage}/")


def _balance_yen(demo: Demo, tokens: BearerToken, money: str = "meal") -> int:
    answer = requests.get(f"{demo.server}/v1/wallets/{money}", auth=tokens, timeout=10)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["balance_yen"])


def _pay(demo: Demo, tokens: BearerToken, amount_yen: int) -> requests.Response:
    return requests.post(
        f"{demo.server}/v1/payments",
        json={"amount_yen": amount_yen, "money": "meal", "shop": "canteen", "description": "A定食"},
        headers={"Idempotency-Key": f"story-{amount_yen}-{os.urandom(4).hex()}"},
        auth=tokens,
        timeout=10,
    )


def _send_the_last_tap_again(demo: Demo) -> requests.Response:
    """What a till does that never got its answer: the very same tap, as it stood in the spool when it was taken."""
    with sqlite3.connect(demo.folder / "instance" / "till.sqlite3") as spool:
        tap_id, amount_yen, taken_at = spool.execute(
            "SELECT tap_id, amount_yen, taken_at FROM tap ORDER BY counter DESC LIMIT 1"
        ).fetchone()
    spool.close()
    variables = demo.variables
    credentials = (variables["KUMIAI_TILL_CLIENT_ID"], variables["KUMIAI_TILL_CLIENT_SECRET"])
    token = requests.post(
        f"{demo.server}/oauth/token",
        data={"grant_type": "client_credentials", "scope": "till"},
        auth=credentials,
        timeout=10,
    ).json()["access_token"]
    blocks = {str(n): block.hex() for n, block in demo_card.fcf_blocks().items() if n != demo_card.NAME_BLOCK}
    return requests.post(
        f"{demo.server}/v1/taps",
        json={
            "tap_id": tap_id,
            "amount_yen": amount_yen,
            "card": {"idm": demo_card.IDM, "blocks": blocks},
            "taken_at": taken_at,
        },
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def _picture(page: Page, name: str) -> None:
    """Keep what a person sees, at both widths, when asked to."""
    folder = os.environ.get("KUMIAI_SCREENSHOTS")
    if not folder:
        return
    for label, width in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=Path(folder) / f"{name}-{label}.png", full_page=True)
    page.set_viewport_size({"width": DESKTOP, "height": 900})


@contextmanager
def _running(*arguments: str, folder: Path, says: str) -> Iterator[None]:
    """`kumiai <arguments>` from when it says something until Ctrl-C."""
    output = folder / f"{arguments[0]}.output"
    with output.open("wb") as file:
        running = subprocess.Popen(
            [*KUMIAI, *arguments], cwd=folder, env=_environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: _said(running, output, says) or None, within_s=90)
        yield
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)


def _said(running: subprocess.Popen[bytes], output: Path, words: str) -> bool:
    assert running.poll() is None, output.read_text()
    return words in output.read_text()


def _environment(**more: str) -> dict[str, str]:
    """The caller's environment, as on a fresh machine: nothing of Kumiai's set, the embedded database used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUMIAI_", "DATABASE_URL"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}
