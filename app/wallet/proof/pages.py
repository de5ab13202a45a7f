"""The receipt's page, which its QR code leads to, and the signed days, for anyone to keep."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, render_template, url_for
from werkzeug.exceptions import NotFound

from app.oauth import cors
from app.wallet.proof import proofs, receipts
from app.wallet.proof.links import transaction_of
from app.web.locale import current_locale
from app.web.protection import Public, protected_by

pages = Blueprint("receipts", __name__, template_folder="templates")
days = Blueprint("proof_days", __name__)
days.after_request(cors.allow_everyone)

_KEPT_FOR_S = 300
_FOR_EVER_S = 31_536_000


@pages.after_request
def _out_of_search_engines(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex"
    return response


@pages.get("/receipts/<link>")
@protected_by(Public("by an address that cannot be guessed; shows what the receipt shows"))
def receipt(link: str) -> str:
    shown = receipts.receipt(transaction_of(link), locale=current_locale())
    return render_template("proof/receipt.html", receipt=shown, file_url=url_for("receipts.proof_file", link=link))


@pages.get("/receipts/<link>/proof.json")
@protected_by(Public("by an address that cannot be guessed; shows what the receipt shows"))
def proof_file(link: str) -> Response:
    proof = proofs.proof(transaction_id=transaction_of(link), sections=proofs.RECEIPT)
    response = Response(json.dumps(proof, ensure_ascii=False, indent=2), mimetype="application/json")
    name = f"kumiai-proof-{proof['transaction']['receipt']['content']['position']}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@days.get("/proof/latest")
@protected_by(Public("signed so that everyone can keep it"))
def latest() -> Response:
    return _kept(proofs.latest_day().view(), max_age_s=_KEPT_FOR_S)


@days.get("/proof/days/<day>")
@protected_by(Public("signed so that everyone can keep it"))
def signed_day(day: str) -> Response:
    return _kept(proofs.signed_day(_date(day)).view(), max_age_s=_FOR_EVER_S)


@days.get("/proof/keys")
@protected_by(Public("the public halves of the keys that ever signed a day"))
def keys() -> Response:
    return _kept({"keys": proofs.every_key()}, max_age_s=_KEPT_FOR_S)


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)
    app.register_blueprint(days)


def _kept(body: dict[str, Any], *, max_age_s: int) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = f"public, max-age={max_age_s}"
    return response


def _date(text: str) -> date:
    """A day as 2026-11-23; nothing else of ISO 8601, so that each day has one address."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise NotFound from None
    if day.isoformat() != text:
        raise NotFound
    return day
