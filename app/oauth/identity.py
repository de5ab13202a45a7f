"""What an app may know of the member who signed in (OpenID Connect Core 5.1, 5.4)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.db import autocommit
from app.member.models import Member

CLAIMS = {
    "openid": ("sub",),
    "profile": ("name", "family_name", "given_name", "locale"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
}


def claims(member_id: UUID, scopes: Collection[str]) -> dict[str, Any]:
    """The claims these scopes give, as far as they are known. One read.

    An address is verified by its use: nobody signs in, so nobody consents, without the code mailed to it.
    """
    statement = select(Member.email, Member.family_name, Member.given_name, Member.locale, Member.phone_number)
    with autocommit().connect() as connection:
        row = connection.execute(statement.where(Member.id == member_id)).one()
    known = {
        "sub": str(member_id),
        "name": f"{row.family_name} {row.given_name}",
        "family_name": row.family_name,
        "given_name": row.given_name,
        "locale": row.locale,
        "email": row.email,
        "email_verified": True,
    }
    if row.phone_number is not None:
        known |= {"phone_number": row.phone_number, "phone_number_verified": True}
    claimed = (name for scope, names in CLAIMS.items() if scope in scopes for name in names)
    return {name: known[name] for name in claimed if name in known}
