"""An authorization server that is not ours: it answers as its test tells it to. The member page's outside edge."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, request
from joserfc import jwt
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

ACCESS_TOKEN = "kat_of_the_other_server"


@dataclass
class OtherServer:
    """`claims` change the ID token's claims (None leaves one out), `replies` the answer of a path."""

    url: str
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", parameters={"kid": "one", "use": "sig"}))
    signed_with: ECKey | None = None
    header: dict[str, str] = field(default_factory=lambda: {"alg": "ES256", "kid": "one"})
    claims: dict[str, Any] = field(default_factory=dict)
    replies: dict[str, tuple[Any, int]] = field(default_factory=dict)
    nonce: str = ""

    def id_token(self) -> str:
        at_hash = base64.urlsafe_b64encode(hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16]).rstrip(b"=").decode()
        claims = {
            "iss": self.url,
            "aud": "mypage",
            "sub": "01936a7c",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "nonce": self.nonce,
            "at_hash": at_hash,
            **self.claims,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(self.header, kept, self.signed_with or self.key, algorithms=[self.header["alg"]])

    def reply(self, path: str) -> tuple[Any, int]:
        if path in self.replies:
            return self.replies[path]
        match path:
            case "/.well-known/openid-configuration":
                names = ("authorization", "token", "revocation", "end_session")
                endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in names}
                return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **endpoints}, 200
            case "/jwks":
                return {"keys": [self.key.as_dict(private=False)]}, 200
            case "/token":
                answer = {"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 600}
                return {**answer, "refresh_token": "krt_other", "id_token": self.id_token()}, 200
            case "/v1/me":
                return {"id": "01936a7c", "name": "組合 花子"}, 200
            case "/v1/wallets":
                return {"wallets": [], "total_yen": 0}, 200
            case "/v1/transactions":
                return {"transactions": [], "next_cursor": None}, 200
            case _:
                return {}, 200


@contextmanager
def other_server() -> Iterator[OtherServer]:
    app = Flask("other_server")

    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> tuple[Any, int]:
        return server.reply(request.path)

    listening = make_server("127.0.0.1", 0, app, threaded=True)
    server = OtherServer(url=f"http://localhost:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
