"""`kumiai demo app`: a third-party app in one file, to see what a member allows and what it can then do.

It is what an app author would write: authorization code with PKCE, then the API. It knows nothing of the server
but its address.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
import webbrowser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import click
import requests

from app.settings import development_environment

PORT = 8010
CALLBACK = f"http://localhost:{PORT}/callback"
TIMEOUT_S = 10
WAIT_S = 600

_SEE_THE_TERMINAL = """<!doctype html>
<html lang="ja"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<title>学食オーダー（デモ）</title>
<body style="font: 1.125rem/1.7 sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1.5rem">
<p>この画面を閉じ、ターミナルをご覧ください。
<p lang="en">Please close this page and look at the terminal.
"""


@click.command()
@click.option("--amount", default=450, show_default=True, help="Yen to take at the canteen.")
@click.option("--browser/--no-browser", default=True, help="Open the browser by itself.")
def app(amount: int, browser: bool) -> None:
    """Be a third-party app: ask for consent, read the balance, take a payment."""
    environment = development_environment()
    issuer = environment.get("KUMIAI_ISSUER_URL", "http://localhost:8000")
    client = ("demo_app", _secret(environment))
    endpoints = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=TIMEOUT_S).json()
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    link = endpoints["authorization_endpoint"] + "?" + urlencode(_authorization_request(verifier, state))
    click.echo("Open this, sign in, and choose what the app may do /")
    click.echo(f"次のページを開いてログインし、許可する内容を選んでください:\n\n{link}\n")
    if browser:
        webbrowser.open(link)
    answer = _wait_for_callback()
    if answer.get("state") != state or answer.get("iss") != endpoints["issuer"]:
        raise click.ClickException("the answer is not to our question (state or iss differs)")
    if "error" in answer:
        raise click.ClickException(f"not allowed: {answer['error']}")
    token = requests.post(
        endpoints["token_endpoint"],
        data={
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
        },
        auth=client,
        timeout=TIMEOUT_S,
    ).json()
    click.echo(f"allowed: {token['scope']}  {token.get('authorization_details', '')}")
    _show(_get(issuer, "/v1/wallets", token))
    _show(_pay(issuer, amount, token))
    _show(_get(issuer, "/v1/transactions?limit=3", token))


def _authorization_request(verifier: str, state: str) -> dict[str, str]:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return {
        "response_type": "code",
        "client_id": "demo_app",
        "redirect_uri": CALLBACK,
        "scope": "openid profile balance history payment",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "prompt": "consent",
    }


def _wait_for_callback() -> dict[str, str]:
    """Serve one request on the loopback port: the redirect that brings the code. Others (a favicon) get 404."""
    answer: dict[str, str] = {}

    class Callback(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path != "/callback":
                self.send_error(404)
                return
            answer.update({name: values[0] for name, values in parse_qs(url.query).items()})
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(_SEE_THE_TERMINAL.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            return

    with HTTPServer(("127.0.0.1", PORT), Callback) as server:
        server.timeout = WAIT_S
        while not answer:
            server.handle_request()
    return answer


def _pay(issuer: str, amount: int, token: dict[str, Any]) -> requests.Response:
    return requests.post(
        f"{issuer}/v1/payments",
        json={"amount_yen": amount, "money": "meal", "shop": "canteen", "description": "A定食"},
        headers={"Authorization": f"Bearer {token['access_token']}", "Idempotency-Key": str(uuid.uuid4())},
        timeout=TIMEOUT_S,
    )


def _get(issuer: str, path: str, token: dict[str, Any]) -> requests.Response:
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    return requests.get(issuer + path, headers=headers, timeout=TIMEOUT_S)


def _show(response: requests.Response) -> None:
    colour = "green" if response.ok else "red"
    click.secho(f"\n{response.request.method} {response.request.path_url} → {response.status_code}", fg=colour)
    click.echo(response.text)


def _secret(environment: Mapping[str, str]) -> str:
    secret = environment.get("KUMIAI_DEMO_APP_CLIENT_SECRET")
    if not secret:
        raise click.ClickException(
            "start `make run` first, in this folder / 先に、このフォルダで make run を起動してください"
        )
    return secret
