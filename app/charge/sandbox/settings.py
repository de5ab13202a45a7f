"""The settings of the sandbox gateway, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SandboxSettingsError(Exception):
    """A setting is missing; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """`key` is what the merchant's server calls with, `webhook_secret` what it knows our webhooks by.

    `url` is where browsers find the pages. `webhook_url` may be empty: then webhooks wait until one is given.
    """

    key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    folder: Path
    url: str = "http://localhost:8002"
    webhook_url: str = ""
    merchant_ja: str = "くみあい大学生協"
    merchant_en: str = "Kumiai University Co-op"

    def merchant(self, lang: str) -> str:
        return self.merchant_en if lang == "en" else self.merchant_ja

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> SandboxSettings:
        """Read the settings from `env` (default: the process environment). Raises SandboxSettingsError."""
        source = os.environ if env is None else env
        issuer_url = source.get("KUMIAI_ISSUER_URL", "http://localhost:8000").rstrip("/")
        return cls(
            key=_required(source, "KUMIAI_SANDBOX_KEY", "the key that the server calls the sandbox with"),
            webhook_secret=_required(source, "KUMIAI_SANDBOX_WEBHOOK_SECRET", "whsec_… in base64"),
            folder=Path(source.get("KUMIAI_INSTANCE") or "instance").resolve() / "sandbox",
            url=source.get("KUMIAI_SANDBOX_URL", cls.url).rstrip("/"),
            webhook_url=source.get("KUMIAI_SANDBOX_WEBHOOK_URL", f"{issuer_url}/charge/webhooks/sandbox"),
            merchant_ja=source.get("KUMIAI_SANDBOX_MERCHANT_JA", cls.merchant_ja),
            merchant_en=source.get("KUMIAI_SANDBOX_MERCHANT_EN", cls.merchant_en),
        )


def _required(source: Mapping[str, str], name: str, what: str) -> str:
    value = source.get(name, "")
    if not value:
        raise SandboxSettingsError(f"set {name}: {what} (`make run` sets everything by itself)")
    return value
