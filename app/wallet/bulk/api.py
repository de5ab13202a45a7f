"""The bulk API: for a program of the co-op's own, acting for itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, request, stream_with_context
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.db import transaction
from app.oauth.protector import Bearer, current_access
from app.wallet import examples
from app.wallet.bulk import results, service
from app.wallet.bulk.models import BulkJob
from app.wallet.bulk.schemas import CSV, JobView, ProblemsQuery, ProblemsView, ResultsQuery, StartBody, UploadQuery
from app.wallet.bulk.sentences import reason
from app.wallet.bulk.text_file import MAX_FILE_BYTES
from app.wallet.bulk.upload import FileTooLarge, received, upload
from app.wallet.errors import HIT_HEADER
from app.wallet.schemas import IdempotencyHeader
from app.web.arguments import Blueprint
from app.web.json import json_response
from app.web.locale import current_locale, translate
from app.web.protection import protected_by

blueprint = Blueprint(
    "bulk", __name__, url_prefix="/v1/bulk", description="Many grants and corrections at once, from a file."
)

FORMATS = {"text/csv": "csv", "application/x-ndjson": "jsonl", "application/jsonl": "jsonl"}
_JSON_LINES = '{"member":"hanako@example.ac.jp","money":"points","amount_yen":500,"kind":"grant"}\n'
_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": CSV},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _JSON_LINES},
        },
    }
}
_RESULTS = {
    "text/csv": {"schema": {"type": "string"}, "example": examples.RESULTS_CSV},
    "application/x-ndjson": {"schema": {"type": "string"}, "example": examples.RESULTS_LINES},
}


@blueprint.post("")
@blueprint.arguments(IdempotencyHeader(), location="headers")
@blueprint.arguments(UploadQuery(), location="query")
@blueprint.response(201, JobView(), example=examples.EXAMINING)
@blueprint.doc(**_FILE)
@protected_by(Bearer("bulk"))
def create(headers: Mapping[str, Any], query: Mapping[str, Any]) -> Response:
    """Upload a file of grants, corrections and take-backs

    CSV (`text/csv`) with a header line, in UTF-8 or Shift_JIS, or one JSON object a line (`application/x-ndjson`), of
    at most 100,000 lines and 32 MiB. Columns: `member` (id or e-mail address), `money` (code), `amount_yen`, `kind`
    (`grant`, `correction`, `take_back`), and, if you like, `expires_on`, `description`, `reference`. Nothing moves
    yet: the file is examined, and shows as `examined` or `rejected` within seconds.
    """
    file_format = FORMATS.get(request.mimetype)
    if file_format is None:
        raise UnsupportedMediaType
    request.max_content_length = MAX_FILE_BYTES
    try:
        with received(request.stream) as file, transaction():
            job_id, hit = upload(
                file,
                client_id=current_access().client_id,
                upload_key=headers["idempotency_key"],
                file_format=file_format,
                file_name=query["file_name"],
            )
            shown = _view(job_id)
    except FileTooLarge:
        raise RequestEntityTooLarge from None
    return json_response(shown, status=201, headers={HIT_HEADER: "true"} if hit else {})


@blueprint.get("/<uuid:job_id>")
@blueprint.response(200, JobView())
@protected_by(Bearer("bulk"))
def show(job_id: UUID) -> Response:
    """A job: its state, counts, sums, progress"""
    with transaction():
        shown = _view(job_id)
    return json_response(shown, status=200)


@blueprint.get("/<uuid:job_id>/problems")
@blueprint.arguments(ProblemsQuery(), location="query")
@blueprint.response(200, ProblemsView())
@protected_by(Bearer("bulk"))
def problems(query: Mapping[str, Any], job_id: UUID) -> Response:
    """Every bad line, with its number and the reason, in the language of Accept-Language"""
    say = partial(translate, locale=current_locale())
    with transaction():
        _own(job_id)
        found, after = service.bad_rows(job_id, after=query["after"], limit=query["limit"])
    shown = [
        {"line": line, "field": each["field"], "code": each["code"], "reason": reason(each, say)}
        for line, each in found
    ]
    return json_response({"problems": shown, "next_after": after}, status=200)


@blueprint.post("/<uuid:job_id>/start")
@blueprint.arguments(StartBody())
@blueprint.response(200, JobView(), example=examples.RUNNING)
@protected_by(Bearer("bulk"))
def start(body: Mapping[str, Any], job_id: UUID) -> Response:
    """Let an examined job run, or a stopped one go on

    Sent again it changes nothing. `expected_sum_yen` must be what is going to move.
    """
    with transaction():
        service.start(job_id, client_id=current_access().client_id, **body)
        shown = _view(job_id)
    return json_response(shown, status=200)


@blueprint.post("/<uuid:job_id>/stop")
@blueprint.response(200, JobView(), example=examples.STOPPED)
@protected_by(Bearer("bulk"))
def stop(job_id: UUID) -> Response:
    """Stop a running job after the lines in hand

    What has moved stays moved. Start it again to go on.
    """
    with transaction():
        service.stop(job_id, client_id=current_access().client_id)
        shown = _view(job_id)
    return json_response(shown, status=200)


@blueprint.delete("/<uuid:job_id>")
@blueprint.response(204)
@protected_by(Bearer("bulk"))
def discard(job_id: UUID) -> Response:
    """Discard a job that never started

    It is gone with its lines, and its Idempotency-Key is free again.
    """
    with transaction():
        service.discard(job_id, client_id=current_access().client_id)
    return Response(status=204)


@blueprint.get("/<uuid:job_id>/results")
@blueprint.arguments(ResultsQuery(), location="query")
@blueprint.response(200, content_type="text/csv")
@blueprint.doc(responses={"200": {"description": "One line for each line of the file.", "content": _RESULTS}})
@protected_by(Bearer("bulk"))
def result_file(query: Mapping[str, Any], job_id: UUID) -> Response:
    """What became of each line, as a file

    `state` is waiting, bad, accepted or refused; the last two are final.
    """
    with transaction():
        service.check_results(_own(job_id))
    say = partial(translate, locale=current_locale())  # the stream outlives this function
    is_csv = query["format"] == "csv"
    lines = (results.as_csv if is_csv else results.as_json_lines)(job_id, say=lambda found: reason(found, say))
    kind = "text/csv; charset=utf-8" if is_csv else "application/x-ndjson"
    named = f'attachment; filename="bulk-{job_id}.{query["format"]}"'
    return Response(stream_with_context(lines), content_type=kind, headers={"Content-Disposition": named})


def _own(job_id: UUID) -> BulkJob:
    return service.job_of(job_id, client_id=current_access().client_id)


def _view(job_id: UUID) -> dict[str, Any]:
    shown = service.view(_own(job_id))
    if shown["problem"]:
        shown["problem"] = {**shown["problem"], "reason": reason(shown["problem"], translate)}
    return shown
