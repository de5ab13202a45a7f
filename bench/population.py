"""A ledger with ten thousand members who each allowed one app to take payments, at one hot shop."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg

from app.factory import create_app
from app.ids import new_id, secret_hash
from app.settings import Settings
from app.wallet.poster import Poster
from app.wallet.postings import Charge

MEMBERS = 10_000
START_YEN = 3_000_000
CLIENT_ID = "bench_app"
BILLER_ID = "bench_biller"
MANDATE = {"max_per_payment_yen": 3_000, "max_per_day_yen": 9_999_999, "max_per_month_yen": 99_999_999}
MONEY = "meal"
SHOP = "canteen"
_SCOPES = ["payment", "balance", "offline_access"]


def populate(settings: Settings, tokens_file: Path) -> None:
    """Fill an empty, migrated database and write one access token per line."""
    members = [new_id() for _ in range(MEMBERS)]
    tokens = [f"kat_{secrets.token_urlsafe(32)}" for _ in range(MEMBERS)]
    issuer_id, shop_id = _open_books(settings)
    with psycopg.connect(settings.database_url) as connection:
        _copy_members(connection, issuer_id, members)
        _copy_wallets(connection, issuer_id, members)
        grants = _copy_grants(connection, issuer_id, shop_id, members, client_id=CLIENT_ID, profile="web")
        _copy_tokens(connection, members, grants, tokens)
        _copy_grants(connection, issuer_id, shop_id, members, client_id=BILLER_ID, profile="web")
    _charge_everyone(settings.database_url, members)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    tokens_file.write_text("\n".join(tokens) + "\n")


def _open_books(settings: Settings) -> tuple[UUID, UUID]:
    from app.db import dispose, transaction
    from app.issuer import Issuer
    from app.wallet import setup

    app = create_app(settings)
    with app.app_context():
        with transaction() as session:
            issuer = Issuer(name_ja="計測生協", name_en="Bench Co-op", default_max_per_payment_yen=3_000)
            session.add(issuer)
            session.flush()
            money = setup.open_money(issuer_id=issuer.id, code=MONEY, name_ja="学食マネー", name_en="Meal money")
            shop = setup.open_shop(
                issuer_id=issuer.id, code=SHOP, name_ja="中央食堂", name_en="Canteen", accepts=[money]
            )
            ids = issuer.id, shop.id
        dispose()
    return ids


def _copy_members(connection: psycopg.Connection, issuer_id: UUID, members: list[UUID]) -> None:
    columns = "member (id, issuer_id, email, password_hash, family_name, given_name)"
    with connection.cursor().copy(f"COPY {columns} FROM STDIN") as copy:
        for number, member_id in enumerate(members):
            copy.write_row((member_id, issuer_id, f"m{number}@bench.invalid", "!", "計測", str(number)))


def _copy_wallets(connection: psycopg.Connection, issuer_id: UUID, members: list[UUID]) -> None:
    connection.execute(
        "INSERT INTO wallet (id, issuer_id, member_id, money_id)"
        " SELECT gen_random_uuid(), %s, m, (SELECT id FROM money) FROM unnest(%s::uuid[]) AS m",
        [issuer_id, members],
    )
    connection.execute(
        "INSERT INTO account (issuer_id, money_id, kind, wallet_id) SELECT issuer_id, money_id, 'lot', id FROM wallet"
    )


def _copy_grants(
    connection: psycopg.Connection,
    issuer_id: UUID,
    shop_id: UUID,
    members: list[UUID],
    *,
    client_id: str,
    profile: str,
) -> list[UUID]:
    """A client, and what every member allowed it: the grants' ids in the members' order."""
    connection.execute(
        "INSERT INTO oauth_client (id, issuer_id, name_ja, name_en, profile, secret_hash, redirect_uris, scopes,"
        " allowed_shops) VALUES (%s, %s, '計測', 'Bench', %s, %s, '{}', %s, %s)",
        [client_id, issuer_id, profile, b"-", _SCOPES, [shop_id]],
    )
    grants = [new_id() for _ in members]
    mandate = json.dumps(MANDATE | {"shops": [str(shop_id)]})
    with connection.cursor().copy(
        "COPY oauth_grant (id, issuer_id, member_id, client_id, scopes, mandate) FROM STDIN"
    ) as copy:
        for grant_id, member_id in zip(grants, members, strict=True):
            copy.write_row((grant_id, issuer_id, member_id, client_id, _SCOPES, mandate))
    with connection.cursor().copy(
        f"COPY spend_control (id, issuer_id, kind, shops, {', '.join(MANDATE)}) FROM STDIN"
    ) as copy:
        for grant_id in grants:
            copy.write_row((grant_id, issuer_id, "grant", [shop_id], *MANDATE.values()))
    return grants


def _copy_tokens(connection: psycopg.Connection, members: list[UUID], grants: list[UUID], tokens: list[str]) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=6)
    with connection.cursor().copy(
        "COPY oauth_token (token_hash, kind, family_id, client_id, member_id, grant_id, scopes, expires_at) FROM STDIN"
    ) as copy:
        for token, member_id, grant_id in zip(tokens, members, grants, strict=True):
            row = (secret_hash(token), "access", new_id(), CLIENT_ID, member_id, grant_id, _SCOPES, expires_at)
            copy.write_row(row)


def _charge_everyone(database_url: str, members: list[UUID]) -> None:
    poster = Poster(database_url)

    def charge(member_id: UUID) -> None:
        poster.post(
            Charge(
                requester="bench",
                request_id=f"charge-{member_id}",
                params_hash=b"-",
                member_id=member_id,
                money=MONEY,
                amount_yen=START_YEN,
                book="issued_by_cash",
            )
        )

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(charge, members))
    poster.close()
