"""Plain functions that make rows, with keyword-only defaults. Each runs in its own transaction, in an app context."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import select

from app import clock
from app.db import transaction
from app.ids import new_id
from app.issuer import Issuer, current_issuer
from app.member.models import Member
from app.oauth import codes, grants_service, tokens
from app.oauth.client_rules import scopes_for
from app.oauth.clients import find_client, register_client
from app.oauth.ports import Mandate
from app.oauth.profiles import PROFILES
from app.wallet import ledger, setup
from app.wallet.models import Money
from app.wallet.postings import Accepted, Charge
from app.wallet.spend_control import GrantControls


def issuer(*, name_ja: str = "試験生協", name_en: str = "Test Co-op") -> UUID:
    """The one issuer of the database; made at the first call."""
    with transaction() as session:
        known = session.scalar(select(Issuer.id))
        if known is not None:
            return known
        row = Issuer(name_ja=name_ja, name_en=name_en, default_max_per_payment_yen=3_000)
        session.add(row)
        session.flush()
        return row.id


@dataclass(frozen=True, slots=True)
class Holder:
    """A member with a wallet of one money, and a shop that accepts it."""

    issuer_id: UUID
    member_id: UUID
    money: str
    shop_id: UUID


def member(*, email: str | None = None, family_name: str = "組合", given_name: str = "花子") -> UUID:
    """A member who cannot sign in (no password); `app.member.service.register_member` makes one who can."""
    with transaction() as session:
        row = Member(
            issuer_id=current_issuer().id,
            email=email or f"{secrets.token_hex(6)}@example.ac.jp",
            password_hash="!",
            family_name=family_name,
            given_name=given_name,
        )
        session.add(row)
        session.flush()
        return row.id


def money(*, code: str | None = None, name_ja: str = "学食マネー", name_en: str = "Meal money") -> str:
    """A money; returns its code."""
    code = code or f"m_{secrets.token_hex(6)}"
    with transaction():
        setup.open_money(issuer_id=current_issuer().id, code=code, name_ja=name_ja, name_en=name_en)
    return code


def shop(*, accepts: Sequence[str], name_ja: str = "中央食堂", name_en: str = "Central Canteen") -> UUID:
    """A shop; returns its id."""
    with transaction() as session:
        monies = session.scalars(select(Money).where(Money.code.in_(accepts))).all()
        return setup.open_shop(
            issuer_id=current_issuer().id,
            code=f"s-{secrets.token_hex(6)}",
            name_ja=name_ja,
            name_en=name_en,
            accepts=monies,
        ).id


def wallet(*, member_id: UUID, money: str) -> UUID:
    """An empty wallet; returns its id."""
    with transaction() as session:
        row = session.scalars(select(Money).where(Money.code == money)).one()
        return setup.open_wallet(issuer_id=current_issuer().id, member_id=member_id, money=row).id


def charge(*, member_id: UUID, money: str, amount_yen: int) -> Accepted:
    """Value paid in over the counter."""
    outcome = ledger.post(
        Charge(
            requester="test",
            request_id=secrets.token_hex(8),
            params_hash=b"charge",
            member_id=member_id,
            money=money,
            amount_yen=amount_yen,
            book="issued_by_cash",
        )
    )
    assert isinstance(outcome, Accepted), outcome
    return outcome


def holder(*, balance_yen: int = 0) -> Holder:
    """A member with a wallet of a money of its own, and a shop that accepts it."""
    code = money()
    holder = Holder(issuer_id=current_issuer().id, member_id=member(), money=code, shop_id=shop(accepts=[code]))
    wallet(member_id=holder.member_id, money=code)
    if balance_yen:
        charge(member_id=holder.member_id, money=code, amount_yen=balance_yen)
    return holder


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client as its developer knows it."""

    id: str
    secret: str | None
    redirect_uris: tuple[str, ...]


def oauth_client(
    *,
    client_id: str | None = None,
    profile: str = "web",
    scopes: Sequence[str] = ("openid", "profile", "email", "balance", "history", "payment", "offline_access"),
    redirect_uris: Sequence[str] | None = None,
    allowed_shops: Sequence[UUID] = (),
    **registration: Any,
) -> RegisteredClient:
    """A client of a profile; a till gets the scope `till` and no redirect URI. `fapi2` wants `jwks`."""
    acts_for_members = PROFILES[profile].acts_for_members
    if redirect_uris is None:
        redirect_uris = ["https://app.example/callback"] if acts_for_members else []
    with transaction():
        row, secret = register_client(
            client_id=client_id or f"c_{secrets.token_hex(6)}",
            name_ja="試験アプリ",
            name_en="Test app",
            profile=profile,
            scopes=scopes if acts_for_members else [*scopes_for(profile).intersection(scopes)] or ["till"],
            redirect_uris=redirect_uris,
            allowed_shops=allowed_shops,
            **registration,
        )
        return RegisteredClient(id=row.id, secret=secret, redirect_uris=tuple(redirect_uris))


CODE_VERIFIER = "correct-horse-battery-staple-0123456789-0123456789"


def authorization_code(*, member_id: UUID, client_id: str, redirect_uri: str) -> str:
    """A code for `openid offline_access` as consent would have made it, to be redeemed with CODE_VERIFIER."""
    code, scopes = codes.new_code(), ("openid", "offline_access")
    with transaction():
        grant = grants_service.allow(
            member_id=member_id, client_id=client_id, scopes=scopes, mandate=None, controls=GrantControls()
        )
        codes.save(
            code,
            client_id=client_id,
            grant_id=grant.id,
            member_id=member_id,
            scopes=scopes,
            redirect_uri=redirect_uri,
            code_challenge=create_s256_code_challenge(CODE_VERIFIER),
            nonce=None,
            auth_time=clock.now(),
        )
    return code


def access_token(
    *,
    member_id: UUID | None,
    client_id: str,
    scopes: Sequence[str],
    max_per_payment_yen: int | None = None,
    auth_time: datetime | None = None,
    jkt: str | None = None,
) -> str:
    """An access token as consent and code would have made it; a till's own (by its credentials) without a member.

    With the scope `payment`, the grant pays up to `max_per_payment_yen` (default: the issuer's) at the client's shops.
    The member signed in at `auth_time` (default: now); `jkt` is the DPoP key it is bound to.
    """
    client = find_client(client_id)
    assert client is not None
    with transaction():
        if member_id is None:
            return tokens.issue_to_client(client=client, scopes=scopes).access_token
        issuer = current_issuer()
        per_payment_yen = max_per_payment_yen or issuer.default_max_per_payment_yen
        mandate = Mandate(
            max_per_payment_yen=per_payment_yen,
            max_per_day_yen=max(issuer.default_max_per_day_yen, per_payment_yen),
            max_per_month_yen=max(issuer.default_max_per_month_yen, per_payment_yen),
            shops=client.allowed_shops,
        )
        grant = grants_service.allow(
            member_id=member_id,
            client_id=client_id,
            scopes=scopes,
            mandate=mandate if "payment" in scopes else None,
            controls=GrantControls(),
        )
        return tokens.issue_to_member(
            client=client,
            grant_id=grant.id,
            family_id=new_id(),
            scopes=scopes,
            auth_time=auth_time or clock.now(),
            controls=GrantControls(),
            jkt=jkt,
        ).access_token
