"""The proof file's fields, for the OpenAPI document. What each is made of is in docs/proof.md."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

_ID = "01936a7c-5b1e-7a10-8000-0000000000aa"
_ISSUER = "01936a7c-5b1e-7a10-8000-000000000100"
_SHOP = "01936a7c-5b1e-7a10-8000-000000000001"
_MEMBER = "01936a7c-5b1e-7a10-8000-000000000010"
_GRANT = "01936a7c-5b1e-7a10-8000-000000000020"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _hash_field(description: str) -> fields.String:
    return fields.String(required=True, metadata={"description": description, "example": _HASH})


def _path_field(description: str) -> fields.List[Any]:
    hashes = fields.String(metadata={"example": _HASH})
    return fields.List(hashes, required=True, metadata={"description": description, "example": [_HASH]})


class ShownReceipt(Schema):
    """What a receipt says of the transaction."""

    position = fields.Integer(required=True, metadata={"description": "Its place in the books.", "example": 1234})
    id = fields.String(required=True, metadata={"format": "uuid", "example": _ID})
    issuer_id = fields.String(required=True, metadata={"format": "uuid", "example": _ISSUER})
    kind = fields.String(required=True, metadata={"example": "payment"})
    money = fields.String(required=True, metadata={"description": "A money's code.", "example": "meal"})
    amount_yen = fields.Integer(required=True, metadata={"example": 450})
    shop_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": _SHOP})
    shop = fields.String(
        required=True, allow_none=True, metadata={"description": "A shop's code.", "example": "canteen"}
    )
    reverses = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": None})
    hold_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": None})
    created_at = fields.String(
        required=True, metadata={"format": "date-time", "example": "2026-11-23T03:34:56.123456Z"}
    )


class ShownDetails(Schema):
    """Who asked for it, for whom, and what was said about it."""

    member_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": _MEMBER})
    requester = fields.String(required=True, metadata={"description": "A client_id.", "example": "demo_app"})
    request_id = fields.String(required=True, metadata={"example": "order-2026-11-23-0001"})
    grant_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": _GRANT})
    terminal_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": None})
    card_id = fields.String(required=True, allow_none=True, metadata={"format": "uuid", "example": None})
    description = fields.String(required=True, metadata={"example": "昼食 A定食"})
    metadata = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"example": {"order": "A-17", "items": [{"group": "meal", "amount_yen": 450, "name": "A定食"}]}},
    )
    taken_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time", "example": None})


class ReceiptSection(Schema):
    nonce = _hash_field("What its digest was made with.")
    content = fields.Nested(ShownReceipt, required=True)


class DetailsSection(Schema):
    nonce = _hash_field("What its digest was made with.")
    content = fields.Nested(ShownDetails, required=True)


class HiddenSection(Schema):
    digest = _hash_field("Binds the accounts and balances, and shows none of them.")


class SealedTransaction(Schema):
    receipt = fields.Nested(ReceiptSection, required=True)
    details = fields.Nested(DetailsSection, required=True)
    books = fields.Nested(HiddenSection, required=True)


class BlockHeader(Schema):
    issuer_id = fields.String(required=True, metadata={"format": "uuid", "example": _ISSUER})
    number = fields.Integer(required=True, metadata={"example": 12})
    day = fields.String(required=True, metadata={"format": "date", "example": "2026-11-23"})
    first_position = fields.Integer(required=True, metadata={"example": 1025})
    last_position = fields.Integer(required=True, metadata={"example": 1300})
    root = _hash_field("The Merkle root over its transactions.")
    previous = fields.String(
        required=True, allow_none=True, metadata={"description": "The hash of the block before.", "example": _HASH}
    )


class BlockOfProof(Schema):
    header = fields.Nested(BlockHeader, required=True)
    path = _path_field("From the transaction up to the block's root.")


class DayOfProof(Schema):
    path = _path_field("From the block up to the day's root.")
    statement = fields.String(
        required=True,
        metadata={"description": "The day's claims, signed: a compact JWS.", "example": "eyJ0eXAiOiJrdW1pYWkt…"},
    )


class PublicKey(Schema):
    """The key that signed the day, as a JWK (RFC 7517)."""

    kty = fields.String(required=True, metadata={"example": "EC"})
    crv = fields.String(required=True, metadata={"example": "P-256"})
    x = fields.String(required=True, metadata={"example": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})
    y = fields.String(required=True, metadata={"example": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
    kid = fields.String(required=True, metadata={"example": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"})
    use = fields.String(required=True, metadata={"example": "sig"})
    alg = fields.String(required=True, metadata={"example": "ES256"})


class ProofView(Schema):
    """A proof file: keep it as it is, and check it with `kumiai proof check`, or as docs/proof.md says."""

    format = fields.String(required=True, metadata={"example": "kumiai-proof-1"})
    transaction = fields.Nested(SealedTransaction, required=True)
    block = fields.Nested(BlockOfProof, required=True)
    day = fields.Nested(DayOfProof, required=True)
    key = fields.Nested(PublicKey, required=True)
