"""The sandbox gateway as a process, and a small client of the API that scripts it (docs/sandbox.md)."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from app.charge.gateways.sandbox import SandboxGateway
from tests.live import ROOT, eventually
from tests.ports import free_port


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Vendor:
    """One sandbox gateway. `start`, then script it; payments are named by their ref, as the adapter answers it."""

    folder: Path
    port: int = field(default_factory=free_port)
    key: str = field(default_factory=lambda: f"sk_sandbox_{secrets.token_hex(16)}")
    webhook_secret: str = field(default_factory=_secret)
    running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the program is started with. Of these the server needs the URL, the key and the webhook secret."""
        return {
            "KUMIAI_SANDBOX_URL": self.url,
            "KUMIAI_SANDBOX_KEY": self.key,
            "KUMIAI_SANDBOX_WEBHOOK_SECRET": self.webhook_secret,
            "KUMIAI_INSTANCE": str(self.folder),
            "KUMIAI_SANDBOX_WEBHOOK_URL": "",
        }

    @property
    def settings(self) -> dict[str, Any]:
        """For `dataclasses.replace(settings, **vendor.settings)`."""
        return {
            "charge_gateway": "sandbox",
            "sandbox_url": self.url,
            "sandbox_key": self.key,
            "sandbox_webhook_secret": self.webhook_secret,
        }

    def gateway(self, *, timeouts_s: tuple[float, float] = (3, 10)) -> SandboxGateway:
        """The server's adapter for it."""
        return SandboxGateway(url=self.url, key=self.key, webhook_secret=self.webhook_secret, timeouts_s=timeouts_s)

    def start(self) -> None:
        """Start the program and wait until it answers."""
        command = [sys.executable, "-c", "from app.cli import main; main()", "sandbox", "--port", str(self.port)]
        with (self.folder / "sandbox.log").open("ab") as log:
            self.running = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        eventually(lambda: self._answers() or None)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it, or with SIGKILL pull its plug. Returns the exit code."""
        assert self.running is not None
        self.running.send_signal(number)
        return self.running.wait(30)

    def said(self) -> str:
        """What it wrote to its terminal."""
        return (self.folder / "sandbox.log").read_text()

    def _answers(self) -> bool:
        assert self.running is not None
        assert self.running.poll() is None, self.said()
        try:
            return requests.get(f"{self.url}/test/faults", auth=(self.key, ""), timeout=5).ok
        except requests.ConnectionError:
            return False

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One call of the scripting API; its answer. An assertion error where it refuses."""
        answer = requests.request(method, f"{self.url}{path}", auth=(self.key, ""), json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def calm(self) -> None:
        """Nothing goes wrong any more, webhooks go nowhere, and those that wait are never sent."""
        self.webhooks_to("")
        self.call("DELETE", "/test/faults")
        self.call("POST", "/test/events/withhold")

    def webhooks_to(self, url: str) -> None:
        """Where webhooks go from now on; "": they wait."""
        self.call("PUT", "/test/webhook-url", **({"url": url} if url else {}))

    def fault(self, kind: str, **how: Any) -> int:
        """Have something go wrong (`app.charge.sandbox.faults.KINDS`); its number.

        For one payment (`payment_id`), one order (`order_id`), one operation (`operation`), so many `times`.
        """
        fault = self.call("POST", "/test/faults", kind=kind, **{name: _plain(value) for name, value in how.items()})
        return int(fault["seq"])

    def payment(self, ref: str) -> dict[str, Any]:
        """All that is known of a payment, with its events."""
        found: dict[str, Any] = self.call("GET", f"/test/payments/{ref}")
        return found

    def of_order(self, order_id: object) -> dict[str, Any] | None:
        """The payment of an order, if it came to the gateway."""
        found = self.call("GET", f"/v1/payments?order_id={order_id}")["payments"]
        return self.payment(found[0]["id"]) if found else None

    def card(self, ref: str, card: str = "visa") -> dict[str, Any]:
        """The customer enters a test card, by its name (`app.charge.sandbox.cards.TEST_CARDS`)."""
        return self._act(ref, "card", card=card)

    def challenge(self, ref: str, answer: str = "right") -> dict[str, Any]:
        """The customer answers the bank: right, wrong or cancel."""
        return self._act(ref, "challenge", answer=answer)

    def pay(self, ref: str, **how: Any) -> dict[str, Any]:
        """The money arrives; `amount_yen`, `times`, `late` say how."""
        return self._act(ref, "pay", **how)

    def expire(self, ref: str) -> dict[str, Any]:
        return self._act(ref, "expire")

    def fail(self, ref: str, failure: str = "card_declined") -> dict[str, Any]:
        return self._act(ref, "fail", failure=failure)

    def _act(self, ref: str, action: str, **how: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("POST", f"/test/payments/{ref}/{action}", **how)
        return found

    def made_up_event(self, ref: str, kind: str) -> dict[str, Any]:
        """An event that says something of a payment, whether or not it is so."""
        return self._act(ref, "events", kind=kind)

    def events(self, ref: str) -> list[dict[str, Any]]:
        """The events of a payment, oldest first, with the log of their delivery."""
        events: list[dict[str, Any]] = self.payment(ref)["events"]
        return events

    def message(self, event_id: str) -> tuple[dict[str, str], bytes]:
        """Headers and body of an event as it is sent, freshly signed: to be posted by the test itself."""
        message = self.call("GET", f"/test/events/{event_id}/message")
        return message["headers"], message["body"].encode()

    def messages(self, ref: str) -> Sequence[tuple[dict[str, str], bytes]]:
        """All the events of a payment as they are sent, oldest first."""
        return [self.message(event["id"]) for event in self.events(ref)]

    def send(self, event_id: str | None = None) -> None:
        """Send an event again, or without one all that wait, now."""
        self.call("POST", f"/test/events/{event_id}/send" if event_id else "/test/events/send")

    def calls(self) -> list[dict[str, Any]]:
        """What the server asked (`operation`, `path`, `status`, `fault`), newest first."""
        calls: list[dict[str, Any]] = self.call("GET", "/test/calls")["calls"]
        return calls

    def settlement(self, day: object) -> str:
        """The settlement file of a day of Japan."""
        answer = requests.get(f"{self.url}/v1/settlements/{day}.csv", auth=(self.key, ""), timeout=30)
        assert answer.ok, answer.text
        return answer.text


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else str(value)


@contextmanager
def vendor(folder: Path) -> Iterator[Vendor]:
    """A sandbox gateway in a folder of its own for as long as the block lasts."""
    made = Vendor(folder)
    made.start()
    try:
        yield made
    finally:
        assert made.running is not None
        if made.running.poll() is None:
            made.stop()
