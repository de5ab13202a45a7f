"""Every setting of the member page, read once from the environment."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


class MypageSettingsError(Exception):
    """A setting is missing or cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class MypageSettings:
    """The member page's settings. `key` is 32 bytes; everything it keeps secret hangs on them."""

    key: bytes = field(repr=False)
    client_secret: str = field(repr=False)
    issuer_url: str = "http://localhost:8000"
    url: str = "http://localhost:8001"
    client_id: str = "mypage"
    name_ja: str = "組合員マイページ"
    name_en: str = "Member page"
    default_locale: str = "ja"
    time_zone: str = "Asia/Tokyo"

    @property
    def redirect_uri(self) -> str:
        """Where the server sends the browser back to, as it is registered there."""
        return f"{self.url}/callback"

    @property
    def signed_out_uri(self) -> str:
        """Where the server sends the browser after signing out, as it is registered there."""
        return f"{self.url}/signed-out"

    @property
    def https(self) -> bool:
        """Whether browsers reach the member page over TLS."""
        return urlsplit(self.url).scheme == "https"

    def name(self, locale: str) -> str:
        return self.name_en if locale == "en" else self.name_ja

    def derived_key(self, purpose: str) -> bytes:
        """32 bytes for one purpose. No two purposes share a key."""
        return hmac.digest(self.key, purpose.encode(), hashlib.sha256)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> MypageSettings:
        """Read the settings from `env` (default: the process environment). Raises MypageSettingsError."""
        source = os.environ if env is None else env
        return cls(
            key=_key(source),
            client_secret=_required(source, "KUMIAI_MYPAGE_CLIENT_SECRET", "the secret the server gave this client"),
            issuer_url=source.get("KUMIAI_ISSUER_URL", cls.issuer_url).rstrip("/"),
            url=source.get("KUMIAI_MYPAGE_URL", cls.url).rstrip("/"),
            client_id=source.get("KUMIAI_MYPAGE_CLIENT_ID", cls.client_id),
            name_ja=source.get("KUMIAI_MYPAGE_NAME_JA", cls.name_ja),
            name_en=source.get("KUMIAI_MYPAGE_NAME_EN", cls.name_en),
            default_locale=source.get("KUMIAI_DEFAULT_LOCALE", cls.default_locale),
            time_zone=source.get("KUMIAI_TIME_ZONE", cls.time_zone),
        )


def _required(source: Mapping[str, str], name: str, what: str) -> str:
    value = source.get(name, "")
    if not value:
        raise MypageSettingsError(f"set {name}: {what} (`make run` sets everything by itself)")
    return value


def _key(source: Mapping[str, str]) -> bytes:
    value = _required(source, "KUMIAI_MYPAGE_KEY", "make one with: openssl rand -base64 32")
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise MypageSettingsError("KUMIAI_MYPAGE_KEY must be 32 bytes in base64; make one: openssl rand -base64 32")
    return key
