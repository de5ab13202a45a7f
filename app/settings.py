"""Every setting of the server, read once from the environment.

Nothing else in `app/` reads `os.environ`. A missing or malformed setting stops the start with a sentence that
says which variable to set and how to make its value.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

Environment = Literal["production", "development", "test"]
ChargeGateway = Literal["", "sandbox", "komoju", "stripe"]
"""Where members charge by card and at stores; empty: nowhere."""


DEMO_ENVIRONMENT = "demo.env"
"""The file in the instance folder where `kumiai dev` leaves its variables while it runs."""


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The server's settings.

    `secret_key` signs cookies and keys the hashes of short codes; `sealing_key` encrypts what must be readable
    again (signing keys, queued mail); `card_pepper` keys the hashes of card numbers and PINs, and can never be changed
    without registering every card again. Each is 32 bytes; so is `lite_s_key`, from which the keys of the co-op's own
    FeliCa Lite-S cards are made, where it issues such.
    """

    environment: Environment
    database_url: str
    secret_key: bytes = field(repr=False)
    sealing_key: bytes = field(repr=False)
    card_pepper: bytes = field(repr=False)
    lite_s_key: bytes | None = field(default=None, repr=False)
    issuer_url: str = "http://localhost:8000"
    mypage_url: str = "http://localhost:8001"
    mail_url: str = "smtp://localhost:25"
    mail_from: str = "no-reply@localhost"
    sms_url: str = ""
    instance_path: Path = Path("instance")
    reader_profiles: Path | None = None
    trusted_proxies: int = 0
    default_locale: str = "ja"
    time_zone: str = "Asia/Tokyo"
    max_hold_s: int = 7 * 86_400
    expiry_notice_days: int = 14
    """So many days before value expires its member is told by mail; 0: never."""
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that webhooks may be sent to though they are not public: the campus's own."""
    charge_gateway: ChargeGateway = ""
    sandbox_url: str = "http://localhost:8002"
    sandbox_key: str = field(default="", repr=False)
    sandbox_webhook_secret: str = field(default="", repr=False)
    komoju_key: str = field(default="", repr=False)
    komoju_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    stripe_key: str = field(default="", repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    """The second of two while a secret is turned over."""
    komoju_url: str = "https://komoju.com/api/v1"
    stripe_url: str = "https://api.stripe.com"
    """Not from the environment: a key goes to its vendor and to nobody else."""

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def https(self) -> bool:
        """Whether browsers reach the server over TLS."""
        return urlsplit(self.issuer_url).scheme == "https"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `env` (default: the process environment). Raises SettingsError."""
        source = os.environ if env is None else env
        environment = source.get("KUMIAI_ENV", "production")
        if environment not in ("production", "development", "test"):
            raise SettingsError("KUMIAI_ENV must be production, development or test")
        settings = cls(
            environment=environment,  # type: ignore[arg-type]  # narrowed by the check above
            database_url=_required(source, "DATABASE_URL", "postgresql://user:password@host/database"),
            secret_key=_key(source, "KUMIAI_SECRET_KEY"),
            sealing_key=_key(source, "KUMIAI_SEALING_KEY"),
            card_pepper=_key(source, "KUMIAI_CARD_PEPPER"),
            lite_s_key=lite_s_key(source),
            issuer_url=source.get("KUMIAI_ISSUER_URL", cls.issuer_url).rstrip("/"),
            mypage_url=source.get("KUMIAI_MYPAGE_URL", cls.mypage_url).rstrip("/"),
            mail_url=source.get("KUMIAI_MAIL_URL", cls.mail_url),
            mail_from=source.get("KUMIAI_MAIL_FROM", cls.mail_from),
            sms_url=source.get("KUMIAI_SMS_URL", cls.sms_url),
            instance_path=Path(source.get("KUMIAI_INSTANCE", "instance")).resolve(),
            reader_profiles=_profiles(source),
            trusted_proxies=_count(source, "KUMIAI_TRUSTED_PROXIES"),
            default_locale=source.get("KUMIAI_DEFAULT_LOCALE", cls.default_locale),
            time_zone=source.get("KUMIAI_TIME_ZONE", cls.time_zone),
            max_hold_s=_seconds(source, "KUMIAI_MAX_HOLD_S", cls.max_hold_s),
            expiry_notice_days=_days(source, "KUMIAI_EXPIRY_NOTICE_DAYS", cls.expiry_notice_days),
            webhook_networks=_networks(source, "KUMIAI_WEBHOOK_NETWORKS"),
            charge_gateway=_charge_gateway(source),
            sandbox_url=source.get("KUMIAI_SANDBOX_URL", cls.sandbox_url).rstrip("/"),
            sandbox_key=source.get("KUMIAI_SANDBOX_KEY", ""),
            sandbox_webhook_secret=source.get("KUMIAI_SANDBOX_WEBHOOK_SECRET", ""),
            komoju_key=source.get("KUMIAI_KOMOJU_SECRET_KEY", ""),
            komoju_webhook_secrets=_several(source, "KUMIAI_KOMOJU_WEBHOOK_SECRET"),
            stripe_key=source.get("KUMIAI_STRIPE_SECRET_KEY", ""),
            stripe_webhook_secrets=_several(source, "KUMIAI_STRIPE_WEBHOOK_SECRET"),
        )
        settings._refuse_what_cannot_work()
        if settings.production:
            settings._refuse_what_production_must_not_have(source)
        return settings

    def _refuse_what_cannot_work(self) -> None:
        url = urlsplit(self.issuer_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise SettingsError("KUMIAI_ISSUER_URL must be the server's own address, such as https://pay.example.jp")
        if url.scheme != "https" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise SettingsError(
                "KUMIAI_ISSUER_URL must begin with https://, except on this very machine, such as http://localhost:8000"
                " (RFC 8414 section 2)"
            )
        if self.charge_gateway == "sandbox" and not (self.sandbox_key and self.sandbox_webhook_secret):
            raise SettingsError(
                "KUMIAI_CHARGE_GATEWAY=sandbox needs KUMIAI_SANDBOX_KEY and KUMIAI_SANDBOX_WEBHOOK_SECRET"
                " (`make run` sets everything by itself)"
            )

        for name in ("komoju", "stripe"):
            given = getattr(self, f"{name}_key") and getattr(self, f"{name}_webhook_secrets")
            if self.charge_gateway == name and not given:
                variables = f"KUMIAI_{name.upper()}_SECRET_KEY and KUMIAI_{name.upper()}_WEBHOOK_SECRET"
                raise SettingsError(f"KUMIAI_CHARGE_GATEWAY={name} needs {variables} (docs/gateways.md)")

    def _refuse_what_production_must_not_have(self, source: Mapping[str, str]) -> None:
        if self.https and not source.get("KUMIAI_TRUSTED_PROXIES"):
            # unset, every caller would have the proxy's address, and limits on strangers would stop all of them
            raise SettingsError(
                "set KUMIAI_TRUSTED_PROXIES: 1 where one proxy stands in front and ends TLS, 0 only where this very"
                " process ends it"
            )
        if self.mail_url.startswith("maildir:"):
            raise SettingsError("KUMIAI_MAIL_URL=maildir: is for development; set smtp:// or smtps:// in production")
        if self.charge_gateway == "sandbox":
            raise SettingsError(
                "KUMIAI_CHARGE_GATEWAY=sandbox is for development: there anybody pays with play money; set komoju or"
                " stripe, or leave it empty"
            )


def development_environment() -> Mapping[str, str]:
    """The process environment; without DATABASE_URL in it, completed with what a running `kumiai dev` left.

    For the commands one types beside `make run`: `Settings.from_env(development_environment())`.
    """
    file = Path(os.environ.get("KUMIAI_INSTANCE", "instance")) / DEMO_ENVIRONMENT
    if os.environ.get("DATABASE_URL") or not file.is_file():
        return os.environ
    lines = (line.partition("=") for line in file.read_text().splitlines())
    return {**{name: value for name, _, value in lines}, **os.environ}


def lite_s_key(source: Mapping[str, str]) -> bytes | None:
    """The master key of Lite-S cards, or None: by itself, for where cards are issued. Raises SettingsError."""
    return _key(source, "KUMIAI_LITE_S_KEY") if source.get("KUMIAI_LITE_S_KEY") else None


def _profiles(source: Mapping[str, str]) -> Path | None:
    """The issuer's own file of reader profiles. Raises SettingsError where it is not there."""
    path = Path(source.get("KUMIAI_READER_PROFILES", ""))
    if path == Path():
        return None
    if not path.is_file():
        raise SettingsError(f"KUMIAI_READER_PROFILES: there is no file {path}")
    return path.resolve()


def _required(source: Mapping[str, str], name: str, example: str) -> str:
    value = source.get(name, "")
    if not value:
        raise SettingsError(f"set {name}, for example {name}={example} (`make run` sets everything by itself)")
    return value


def _key(source: Mapping[str, str], name: str) -> bytes:
    value = _required(source, name, "$(openssl rand -base64 32)")
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{name} must be 32 bytes in base64; make one with: openssl rand -base64 32")
    return key


def _several(source: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part for part in source.get(name, "").split(",") if part)


def _charge_gateway(source: Mapping[str, str]) -> ChargeGateway:
    """In development the sandbox, where it has its key."""
    chosen = source.get("KUMIAI_CHARGE_GATEWAY", "")
    if not chosen and source.get("KUMIAI_ENV") == "development" and source.get("KUMIAI_SANDBOX_KEY"):
        return "sandbox"
    if chosen not in ("", "sandbox", "komoju", "stripe"):
        raise SettingsError("KUMIAI_CHARGE_GATEWAY must be komoju or stripe, or in development sandbox")
    return chosen  # type: ignore[return-value]  # narrowed by the check above


def _seconds(source: Mapping[str, str], name: str, default: int) -> int:
    value = source.get(name) or str(default)
    if not re.fullmatch("[1-9][0-9]{0,7}", value):
        raise SettingsError(f"{name} must be a whole number of seconds, such as {default}")
    return int(value)


def _count(source: Mapping[str, str], name: str) -> int:
    value = source.get(name) or "0"
    if not re.fullmatch("[0-9]{1,2}", value):
        raise SettingsError(f"{name} must be a whole number, the count of proxies in front of the server")
    return int(value)


def _days(source: Mapping[str, str], name: str, default: int) -> int:
    value = source.get(name) or str(default)
    if not re.fullmatch("[0-9]{1,3}", value):
        raise SettingsError(f"{name} must be a whole number of days, such as 14; 0 sends no such mail")
    return int(value)


def _networks(source: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(each.strip()) for each in source.get(name, "").split(",") if each.strip())
    except ValueError:
        raise SettingsError(f"{name} must be networks such as 10.20.0.0/16, with commas between them") from None
