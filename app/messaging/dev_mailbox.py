"""`/dev/mailbox`: the mail and SMS of a development server, read in a browser. Production does not have it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, current_app, render_template

from app.messaging import maildir
from app.settings import Settings
from app.web.protection import Public, protected_by

pages = Blueprint("dev_mailbox", __name__, template_folder="templates")

_CODE = re.compile(r"^\s*([0-9]{6})\s*$", re.MULTILINE)
_NEWEST = 50


@dataclass(frozen=True, slots=True)
class _Shown:
    message: maildir.Kept
    code: str | None


@pages.get("/dev/mailbox")
@protected_by(Public("development only: never registered in production"))
def index() -> str:
    settings: Settings = current_app.extensions["kumiai.settings"]
    kept = maildir.read(Path(settings.mail_url.removeprefix("maildir:")))[:_NEWEST]
    shown = [_Shown(message=message, code=_code(message.text)) for message in kept]
    return render_template("messaging/mailbox.html", shown=shown)


def _code(text: str) -> str | None:
    found = _CODE.search(text)
    return found[1] if found else None


def init_app(app: Flask, settings: Settings) -> None:
    if not settings.production and settings.mail_url.startswith("maildir:"):
        app.register_blueprint(pages)
