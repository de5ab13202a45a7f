"""SMS through Twilio's Messages resource: `twilio://SID:TOKEN@api.twilio.com?from=%2B81…`.

https://www.twilio.com/docs/messaging/api/message-resource: POST To, From, Body as a form with basic authentication;
201 with the message's `sid` once it is queued there. https://www.twilio.com/docs/usage/twilios-response: an error is
JSON with `code`, `message`, `more_info`, `status`.
"""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import requests

from app.messaging.ports import TIMEOUT_S, Refused, SmsMessage

_NOT_THIS_NUMBER = {21211, 21610, 21612, 21614}
"""`To` is not a number, has unsubscribed, cannot be reached, or takes no SMS (twilio.com/docs/api/errors)."""


class TwilioFault(Exception):
    """Twilio did not take the message now. Carries its error code, never the number or the text."""


class TwilioSms:
    """Queues text messages with Twilio. `sender` is a number in E.164 form or an alphanumeric sender id."""

    def __init__(self, *, base_url: str, account: str, token: str, sender: str) -> None:
        self._endpoint = f"{base_url}/2010-04-01/Accounts/{account}/Messages.json"
        self._credentials = (account, token)
        self._sender = sender

    @classmethod
    def from_url(cls, url: str) -> TwilioSms:
        """Read `twilio://SID:TOKEN@host?from=…`. Raises ValueError when a part is missing."""
        parts = urlsplit(url)
        sender = parse_qs(parts.query).get("from", [""])[0]
        if not (parts.hostname and parts.username and parts.password and sender):
            raise ValueError("KUMIAI_SMS_URL must be twilio://SID:TOKEN@api.twilio.com?from=%2B81…")
        return cls(
            base_url=f"https://{parts.hostname}",
            account=unquote(parts.username),
            token=unquote(parts.password),
            sender=sender,
        )

    def send(self, message: SmsMessage) -> None:
        """Hand one message over. Raises Refused for a number that never works, TwilioFault otherwise."""
        form = {"To": message.to, "From": self._sender, "Body": message.text}
        answer = requests.post(
            self._endpoint, data=form, auth=self._credentials, timeout=TIMEOUT_S, allow_redirects=False
        )
        if answer.status_code == requests.codes.created:
            return
        code = _error_code(answer)
        if answer.status_code == requests.codes.bad_request and code in _NOT_THIS_NUMBER:
            raise Refused
        raise TwilioFault(f"HTTP {answer.status_code}, code {code}")


def _error_code(answer: requests.Response) -> int | None:
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        return None
    code = body.get("code") if isinstance(body, dict) else None
    return code if isinstance(code, int) else None
