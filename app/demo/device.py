"""`kumiai demo device`: a display without a browser, in one file. It shows a code, waits, then shows the balance.

It is what the author of such a device would write (RFC 8628), and knows nothing of the server but its address.
"""

from __future__ import annotations

import time
from typing import Any

import click
import requests

from app.settings import development_environment
from app.web.terminal import say

CLIENT_ID = "demo_device"
TIMEOUT_S = 10
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@click.command()
def device() -> None:
    """Be a device without a browser: show a code, wait for the member, show the balance."""
    issuer = development_environment().get("KUMIAI_ISSUER_URL", "http://localhost:8000")
    endpoints = _get(f"{issuer}/.well-known/oauth-authorization-server")
    asked = requests.post(
        endpoints["device_authorization_endpoint"],
        data={"client_id": CLIENT_ID, "scope": "openid balance"},
        timeout=TIMEOUT_S,
    ).json()
    if "error" in asked:
        raise click.ClickException(say("demo.device.refused", error=asked["error"]))
    click.echo(say("demo.device.enter", page=asked["verification_uri"], code=asked["user_code"]))
    click.echo(say("demo.device.or_open", page=asked["verification_uri_complete"]))
    token = _wait(endpoints["token_endpoint"], asked)
    click.echo(say("demo.device.allowed", scope=token["scope"]))
    for wallet in _get(f"{issuer}/v1/wallets", token=token["access_token"])["wallets"]:
        click.echo(f"  {wallet['money']['name']}  ¥{wallet['balance_yen']:,}")


def _wait(endpoint: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Poll as section 3.5 says: once each interval, five seconds slower each time the server says so."""
    interval_s = asked["interval"]
    form = {"client_id": CLIENT_ID, "grant_type": _DEVICE_CODE, "device_code": asked["device_code"]}
    while True:
        time.sleep(interval_s)
        answer: dict[str, Any] = requests.post(endpoint, data=form, timeout=TIMEOUT_S).json()
        error = answer.get("error")
        if error is None:
            return answer
        if error == "slow_down":
            interval_s += 5
        elif error != "authorization_pending":
            raise click.ClickException(say("demo.device.refused", error=error))


def _get(url: str, *, token: str | None = None) -> dict[str, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer: dict[str, Any] = requests.get(url, headers=headers, timeout=TIMEOUT_S).json()
    return answer
