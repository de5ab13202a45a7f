"""Fields of the bulk API."""

from __future__ import annotations

import hashlib

from marshmallow import INCLUDE, Schema, fields, validate

from app.money import MAX_AMOUNT_YEN
from app.wallet.bulk.models import KINDS, STATES
from app.wallet.bulk.reading import MAX_ROWS
from app.wallet.schemas import MAX_PAGE, storable_text

CSV = """\
member,money,amount_yen,kind,description\r
hanako@example.ac.jp,points,500,grant,新入生歓迎ポイント\r
taro@example.ac.jp,points,500,grant,新入生歓迎ポイント\r
alice@example.ac.jp,points,五百,grant,新入生歓迎ポイント\r
"""
"""The file of the examples: two good lines and a bad one."""
_SHA256 = hashlib.sha256(CSV.encode()).hexdigest()
_INSTANT = "2026-11-23T03:34:56.123456+00:00"


def _instant(example: str | None = None) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"format": "date-time", "example": example})


def _count(description: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "example": example})


class UploadQuery(Schema):
    file_name = fields.String(
        load_default="",
        validate=[validate.Length(max=200), storable_text],
        metadata={"description": "What the file is called, for people.", "example": "grants-2026.csv"},
    )


class FileProblemView(Schema):
    """Why nothing of a file can be used."""

    class Meta:
        unknown = INCLUDE

    code = fields.String(required=True, metadata={"example": "column_missing"})
    line = fields.Integer(required=True, allow_none=True, metadata={"example": 1})
    reason = fields.String(required=True, metadata={"example": "必要な列がありません：amount_yen"})


class SumView(Schema):
    money = fields.String(required=True, metadata={"example": "points"})
    kind = fields.String(required=True, validate=validate.OneOf(KINDS), metadata={"example": "grant"})
    lines = _count("Good lines.", 2)
    sum_yen = _count("What they add up to.", 1_000)


class JobView(Schema):
    """A bulk job: one uploaded file, and how far it has come."""

    id = fields.String(required=True, metadata={"format": "uuid", "example": "01936a7c-5b1e-7a10-8000-0000000000bb"})
    state = fields.String(required=True, validate=validate.OneOf(STATES), metadata={"example": "examined"})
    file_name = fields.String(required=True, metadata={"example": "grants-2026.csv"})
    file_sha256 = fields.String(required=True, metadata={"example": _SHA256})
    size_bytes = _count("Of the file.", len(CSV.encode()))
    format = fields.String(required=True, validate=validate.OneOf(["csv", "jsonl"]), metadata={"example": "csv"})
    encoding = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["utf-8", "shift_jis"]),
        metadata={"description": "As it was recognised.", "example": "utf-8"},
    )
    same_file_started_at = _instant()
    problem = fields.Nested(FileProblemView, required=True, allow_none=True, metadata={"example": None})
    lines = _count(f"Lines that say something, at most {MAX_ROWS}.", 3)
    bad_lines = _count("See `/problems`. Until it is examined: 0.", 1)
    good_lines = _count("Those that may run. Until it is examined: 0.", 2)
    done_lines = _count("Those that have been posted.", 0)
    accepted_lines = _count("Of them, those whose value moved.", 0)
    refused_lines = _count("Of them, those the ledger refused. See `/results`.", 0)
    sum_yen = _count("Of all good lines, taken back or granted alike.", 1_000)
    moved_yen = _count("What has moved.", 0)
    left_sum_yen = _count("What is going to move: say it back to start.", 1_000)
    sums = fields.List(fields.Nested(SumView), required=True)
    rest_s = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Estimated seconds until it is done.", "example": None},
    )
    created_at = _instant(_INSTANT)
    examined_at = _instant("2026-11-23T03:34:57.234567+00:00")
    started_at = _instant()
    finished_at = _instant()
    results_until = _instant()


class StartBody(Schema):
    expected_sum_yen = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=0, max=MAX_ROWS * MAX_AMOUNT_YEN),
        metadata={
            "description": "`left_sum_yen` as you expect it. Where it differs nothing starts.",
            "example": 1_000,
        },
    )
    skip_bad_lines = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Run the good lines although others are bad.", "example": True},
    )
    same_file = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "Yes, the very same file was started before, and is meant again.", "example": False},
    )
    notify = fields.Email(
        load_default=None,
        validate=[validate.Length(max=254), storable_text],
        metadata={"description": "Whom to mail when it is done.", "example": "office@coop.example"},
    )


class ProblemsQuery(Schema):
    limit = fields.Integer(
        load_default=MAX_PAGE,
        validate=validate.Range(min=1, max=1_000),
        metadata={"description": "Lines per page.", "example": 100},
    )
    after = fields.Integer(
        load_default=0,
        validate=validate.Range(min=0, max=2**31 - 1),
        metadata={"description": "`next_after` of the page before.", "example": 0},
    )


class LineProblemView(Schema):
    """What is wrong with one line."""

    line = _count("As an editor counts.", 4)
    field = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The column; null: the line as a whole.", "example": "amount_yen"},
    )
    code = fields.String(required=True, metadata={"description": "Stable.", "example": "amount_form"})
    reason = fields.String(required=True, metadata={"example": "金額は整数（円）で書いてください"})


class ProblemsView(Schema):
    problems = fields.List(fields.Nested(LineProblemView), required=True)
    next_after = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null on the last page.", "example": None}
    )


class ResultsQuery(Schema):
    format = fields.String(
        load_default="csv",
        validate=validate.OneOf(["csv", "jsonl"]),
        metadata={"description": "CSV (UTF-8 with BOM) or JSON lines.", "example": "csv"},
    )
