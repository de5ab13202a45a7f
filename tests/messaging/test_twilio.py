"""SMS through a server that answers the way Twilio's documentation says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
import requests

from app.ids import new_id
from app.messaging.ports import Refused, SmsMessage
from app.messaging.twilio import TwilioFault, TwilioSms
from tests.ports import free_port

ACCOUNT, TOKEN = "AC" + "0" * 32, "secret/token"
MESSAGE = SmsMessage(id=new_id(), to="+819012345678", text="確認コードは 123456 です")


def documented_error(status: int, code: int) -> tuple[int, str]:
    body = {"code": code, "message": "…", "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return status, json.dumps(body)


class Twilio:
    """The documented Messages resource, one answer at a time."""

    def __init__(self) -> None:
        self.answer = (201, json.dumps({"sid": "SM" + "0" * 32, "status": "queued", "error_code": None}))
        self.asked: list[tuple[str, str | None, dict[str, list[str]]]] = []
        twilio = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                twilio.asked.append((self.path, self.headers["Authorization"], parse_qs(body)))
                status, text = twilio.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def adapter(self) -> TwilioSms:
        base_url = f"http://127.0.0.1:{self.server.server_port}"
        return TwilioSms(base_url=base_url, account=ACCOUNT, token=TOKEN, sender="+815000000000")


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    twilio = Twilio()
    thread = threading.Thread(target=twilio.server.serve_forever, args=(0.05,))
    thread.start()
    yield twilio
    twilio.server.shutdown()
    thread.join()
    twilio.server.server_close()


def test_a_message_is_queued_the_documented_way(twilio: Twilio) -> None:
    twilio.adapter().send(MESSAGE)
    ((path, authorization, form),) = twilio.asked
    assert path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert authorization == "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    assert form == {"To": [MESSAGE.to], "From": ["+815000000000"], "Body": [MESSAGE.text]}


@pytest.mark.parametrize("code", [21211, 21610, 21612, 21614])
def test_a_number_that_never_works_is_refused_for_good(twilio: Twilio, code: int) -> None:
    twilio.answer = documented_error(400, code)
    with pytest.raises(Refused):
        twilio.adapter().send(MESSAGE)


@pytest.mark.parametrize(
    "answer",
    [
        documented_error(429, 20429),
        documented_error(401, 20003),
        documented_error(400, 21606),
        documented_error(500, 20500),
        (503, "<html>upstream</html>"),
        (502, ""),
        (400, "[]"),
        (400, '{"code": "21211"}'),
        (200, "{}"),
        (302, ""),
    ],
)
def test_everything_else_may_be_tried_again(twilio: Twilio, answer: tuple[int, str]) -> None:
    twilio.answer = answer
    with pytest.raises(TwilioFault) as fault:
        twilio.adapter().send(MESSAGE)
    assert len(twilio.asked) == 1
    for secret in (MESSAGE.to, MESSAGE.text, TOKEN):
        assert secret not in str(fault.value)


def test_no_answer_may_be_tried_again() -> None:
    away = TwilioSms(base_url=f"http://127.0.0.1:{free_port()}", account=ACCOUNT, token=TOKEN, sender="+81")
    with pytest.raises(requests.ConnectionError):
        away.send(MESSAGE)


def test_the_address_names_account_token_and_sender() -> None:
    sms = TwilioSms.from_url(f"twilio://{ACCOUNT}:secret%2Ftoken@api.twilio.com?from=%2B815000000000")
    assert sms._endpoint == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert sms._credentials == (ACCOUNT, TOKEN)
    assert sms._sender == "+815000000000"


@pytest.mark.parametrize(
    "url", ["twilio://api.twilio.com?from=%2B81", "twilio://a:b@api.twilio.com", "twilio://a@api.twilio.com?from=x"]
)
def test_an_incomplete_address_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="KUMIAI_SMS_URL"):
        TwilioSms.from_url(url)
