"""The words of mail: a text template per language, the subject from the translations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.issuer import current_issuer
from app.web.locale import translate

_TEMPLATES = Environment(  # noqa: S701  # plain text, where escaping would show
    loader=FileSystemLoader(Path(__file__).parent / "templates" / "messaging"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def compose_mail(*, to: str, message: str, locale: str, **values: Any) -> dict[str, str]:
    """What `outbox.emit("mail", …)` takes: `message` (such as `sign_in_code`) filled in, in the member's language."""
    issuer_name = current_issuer().name(locale)
    template = _TEMPLATES.get_template(f"{message}.{locale}.txt")
    return {
        "to": to,
        "subject": translate(f"mail.{message}.subject", locale=locale, issuer_name=issuer_name, **values),
        "text": template.render(issuer_name=issuer_name, **values),
    }
