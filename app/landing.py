"""`/`: what this server is, and where to go from here."""

from __future__ import annotations

from flask import Blueprint, Flask, current_app, render_template

from app.settings import Settings
from app.web.protection import Public, protected_by

pages = Blueprint("landing", __name__)


@pages.get("/")
@protected_by(Public("says what this is and links to the member page and the documentation"))
def index() -> str:
    settings: Settings = current_app.extensions["kumiai.settings"]
    return render_template("landing/index.html", mypage_url=settings.mypage_url)


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)
