"""Mail that tells a member what happened to the account or the wallets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from babel.dates import format_datetime
from sqlalchemy import select

from app import outbox
from app.db import session
from app.issuer import issuer_zone
from app.member.models import Member
from app.messaging.compose import compose_mail
from app.web.locale import translate


def send(member_id: UUID, message: str, *, at: datetime | None = None, **values: Any) -> None:
    """Queue mail to the member with the surrounding transaction. `at` is when it happened, for messages that say so."""
    columns = (Member.email, Member.family_name, Member.given_name, Member.locale)
    to = session().execute(select(*columns).where(Member.id == member_id)).one()
    if at is not None:
        pattern = translate("web.moment_with_year", to.locale)
        values["at"] = format_datetime(at.astimezone(issuer_zone()), pattern, locale=to.locale)
    mail = compose_mail(
        to=to.email,
        message=message,
        locale=to.locale,
        family_name=to.family_name,
        given_name=to.given_name,
        **values,
    )
    outbox.emit("mail", mail)
