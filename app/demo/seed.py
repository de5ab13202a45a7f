"""The demo co-op: members, shops, monies, a card, a till and three clients. Run as often as you like.

What is there already is left as it is: a second run adds nothing and moves nothing. Only the clients' secrets and
addresses, which are this instance's own, and the card's validity follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from app.db import session, transaction
from app.demo import demo_card
from app.ids import secret_hash
from app.issuer import Issuer
from app.member import service as members
from app.member.models import Member
from app.oauth.clients import register_client
from app.oauth.models import OAuthClient
from app.reader import cards, terminals
from app.reader.cards import Reading
from app.reader.models import Terminal
from app.wallet import ledger, setup
from app.wallet.models import Money, MoveRule, Shop
from app.wallet.postings import Accepted, Adjustment, Charge

PASSWORD = "kumiai-demo"  # noqa: S105  # the demo's, printed by `make run`
DEMO_APP_URL = "http://localhost:8010"
"""Where `kumiai demo app` waits for its authorization code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMember:
    email: str
    family_name: str
    given_name: str
    locale: str
    balances: Mapping[str, int]
    """Yen paid in at the start, by money."""
    points_yen: int
    """Points granted at the start; they go before anything else, and expire."""


HANAKO = DemoMember(
    email="hanako@example.ac.jp",
    family_name="組合",
    given_name="花子",
    locale="ja",
    balances={"base": 3_000, "meal": 5_000, "textbook": 12_000, "mealpass": 3_000},
    points_yen=120,
)
TARO = DemoMember(
    email="taro@example.ac.jp",
    family_name="生協",
    given_name="太郎",
    locale="ja",
    balances={"base": 500, "meal": 800},
    points_yen=35,
)
ALICE = DemoMember(
    email="alice@example.ac.jp",
    family_name="Smith",
    given_name="Alice",
    locale="en",
    balances={"meal": 2_000},
    points_yen=50,
)
MEMBERS = (HANAKO, TARO, ALICE)

_POINTS = "points"
_PAID = (
    ("base", "ベースマネー", "Base money"),
    ("meal", "学食マネー", "Meal money"),
    ("textbook", "教科書マネー", "Textbook money"),
)
_EARNING = ("base", "meal")
"""1 % of what is paid with these comes back as points."""

_YEAR_END: Mapping[str, Any] = {"expiry": "fixed_date", "expires_month_day": "03-31", "expiry_min_days": 30}
_MOVES = (("base", "meal"), ("base", "textbook"))
_SHOPS = (
    ("canteen", "中央食堂", "Central Canteen", ("base", "meal", "points")),
    ("bookstore", "書籍購買部", "Bookstore", ("base", "textbook")),
)
_TILL = "till_canteen"


def seed(secrets: Mapping[str, str]) -> None:
    """Make what is missing. `secrets` holds KUMIAI_…_CLIENT_SECRET of each client, and KUMIAI_MYPAGE_URL."""
    with transaction():
        issuer_id = _issuer()
    with transaction():
        monies = _monies(issuer_id)
        shops = {code: _shop(issuer_id, code, monies) for code, *_ in _SHOPS}
        ids = {member.email: _member(issuer_id, member, list(monies.values())) for member in MEMBERS}
        _clients(secrets, list(shops.values()))
        _terminal(shops["canteen"])
        cards.register(Reading(idm=demo_card.IDM, blocks=demo_card.fcf_blocks()), member_id=ids[HANAKO.email])
    for member in MEMBERS:
        for money, amount_yen in member.balances.items():
            _pay_in(ids[member.email], member, money, amount_yen)
        _grant_points(ids[member.email], member)


def _issuer() -> UUID:
    known: UUID | None = session().scalar(select(Issuer.id))
    if known is not None:
        return known
    issuer = Issuer(name_ja="くみあい大学生協", name_en="Kumiai University Co-op", default_max_per_payment_yen=3_000)
    session().add(issuer)
    session().flush()
    return issuer.id


def _monies(issuer_id: UUID) -> dict[str, Money]:
    """The monies by code, with the moves between them: points, three that are paid in, and a pass for meals."""

    def money(code: str, name_ja: str, name_en: str, position: int, **rules: Any) -> Money:
        return setup.open_money(
            issuer_id=issuer_id, code=code, name_ja=name_ja, name_en=name_en, position=position, **rules
        )

    points = money(_POINTS, "ポイント", "Points", len(_PAID) + 1, backing="free", **_YEAR_END)
    earns = {"points_money_id": points.id, "points_rate_bp": 100, "points_rounding": "down"}
    monies = {
        code: money(code, name_ja, name_en, position, **(earns if code in _EARNING else {}))
        for position, (code, name_ja, name_en) in enumerate(_PAID)
    }
    monies["mealpass"] = money("mealpass", "学食パス", "Meal pass", len(_PAID), groups=["meal"], **_YEAR_END)
    for source, target in _MOVES:
        if session().get(MoveRule, (monies[source].id, monies[target].id)) is None:
            setup.allow_move(from_money=monies[source], to_money=monies[target], min_yen=100, step_yen=100)
    return {**monies, _POINTS: points}


def _shop(issuer_id: UUID, code: str, monies: Mapping[str, Money]) -> Shop:
    known = session().scalars(select(Shop).filter_by(code=code)).one_or_none()
    if known is not None:
        return known
    _, name_ja, name_en, accepts = next(shop for shop in _SHOPS if shop[0] == code)
    shop = setup.open_shop(
        issuer_id=issuer_id, code=code, name_ja=name_ja, name_en=name_en, accepts=[monies[money] for money in accepts]
    )
    if code == "canteen":
        setup.accept_money(shop=shop, money=monies["mealpass"], falls_to=("meal", "base"))
    return shop


def _member(issuer_id: UUID, member: DemoMember, monies: Sequence[Money]) -> UUID:
    member_id: UUID | None = session().scalar(select(Member.id).where(Member.email == member.email))
    if member_id is None:
        member_id = members.register_member(
            email=member.email,
            password=PASSWORD,
            family_name=member.family_name,
            given_name=member.given_name,
            locale=member.locale,
        )
    for money in monies:
        setup.open_wallet(issuer_id=issuer_id, member_id=member_id, money=money)
    return member_id


def _terminal(shop: Shop) -> None:
    """Register the till unless it is there: registering it again would undo that it was revoked."""
    if session().scalar(select(Terminal.id).where(Terminal.client_id == _TILL)) is None:
        terminals.register(shop_id=shop.id, client_id=_TILL, name="中央食堂 1番レジ", default_money="meal")


def _clients(secrets: Mapping[str, str], shops: Sequence[Shop]) -> None:
    _client(
        "mypage",
        secret=secrets["KUMIAI_MYPAGE_CLIENT_SECRET"],
        name_ja="組合員マイページ",
        name_en="Member page",
        profile="web",
        scopes=["openid", "profile", "balance", "history", "payment", "charge", "move", "card", "offline_access"],
        redirect_uris=[f"{secrets['KUMIAI_MYPAGE_URL']}/callback"],
        post_logout_redirect_uris=[f"{secrets['KUMIAI_MYPAGE_URL']}/signed-out"],
        allowed_shops=[shop.id for shop in shops],
    )
    _client(
        "demo_app",
        secret=secrets["KUMIAI_DEMO_APP_CLIENT_SECRET"],
        name_ja="学食オーダー（デモ）",
        name_en="Canteen Order (demo)",
        profile="web",
        scopes=["openid", "profile", "balance", "history", "payment", "offline_access"],
        redirect_uris=[f"{DEMO_APP_URL}/callback"],
        allowed_shops=[shop.id for shop in shops],
    )
    _client(
        "demo_device",
        secret=None,
        name_ja="残高ディスプレイ（デモ）",
        name_en="Balance Display (demo)",
        profile="native",
        scopes=["openid", "balance"],
        redirect_uris=["http://127.0.0.1/callback"],  # it has no browser to be sent back by; its profile wants one
    )
    _client(
        _TILL,
        secret=secrets["KUMIAI_TILL_CLIENT_SECRET"],
        name_ja="中央食堂 1番レジ",
        name_en="Central Canteen, till 1",
        profile="till",
        scopes=["till"],
    )


def _client(
    client_id: str,
    *,
    secret: str | None,
    name_ja: str,
    name_en: str,
    profile: str,
    scopes: Sequence[str],
    redirect_uris: Sequence[str] = (),
    post_logout_redirect_uris: Sequence[str] = (),
    allowed_shops: Sequence[UUID] = (),
) -> None:
    """Register the client unless it is there, and let it use this instance's own secret and addresses."""
    if session().get(OAuthClient, client_id) is None:
        register_client(
            client_id=client_id,
            name_ja=name_ja,
            name_en=name_en,
            profile=profile,
            scopes=scopes,
            redirect_uris=redirect_uris,
            post_logout_redirect_uris=post_logout_redirect_uris,
            allowed_shops=allowed_shops,
        )
    session().execute(
        update(OAuthClient)
        .where(OAuthClient.id == client_id)
        .values(
            secret_hash=secret and secret_hash(secret),
            redirect_uris=list(redirect_uris),
            post_logout_redirect_uris=list(post_logout_redirect_uris),
        )
    )


def _pay_in(member_id: UUID, member: DemoMember, money: str, amount_yen: int) -> None:
    request_id = f"seed-{member.email}-{money}"
    outcome = ledger.post(
        Charge(
            requester="kumiai_demo",
            request_id=request_id,
            params_hash=ledger.params_hash({"seed": request_id, "amount_yen": amount_yen}),
            member_id=member_id,
            money=money,
            amount_yen=amount_yen,
            book="issued_by_cash",
            description="Charged at the counter" if member.locale == "en" else "窓口でのチャージ",
        )
    )
    assert isinstance(outcome, Accepted), outcome


def _grant_points(member_id: UUID, member: DemoMember) -> None:
    """Points to begin with; they are good until the day that the money's rule gives them."""
    request_id = f"seed-{member.email}-{_POINTS}"
    outcome = ledger.post(
        Adjustment(
            requester="kumiai_demo",
            request_id=request_id,
            params_hash=ledger.params_hash({"seed": request_id, "amount_yen": member.points_yen}),
            member_id=member_id,
            money=_POINTS,
            amount_yen=member.points_yen,
            book="points_granted",
            description="Welcome points" if member.locale == "en" else "入会ポイント",
        )
    )
    assert isinstance(outcome, Accepted), outcome
