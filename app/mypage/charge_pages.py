"""チャージ: choose amount, money and way to pay; pay on the gateway's page or at a store; follow it to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import Response, jsonify, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.wrappers import Response as AnyResponse

from app.mypage import forms
from app.mypage.access import member_api, pages
from app.mypage.api_client import MemberApi
from app.mypage.drawing import barcode
from app.mypage.errors import NotAllowed, Refused, SignInAgain, Unsure
from app.mypage.pages import to_sign_in
from app.mypage.session import MypageSession
from app.web.protection import protected_by

STEPS_YEN = (1_000, 3_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000)
"""The original's eight buttons."""

LOOK_EVERY_S = 3
"""How often a page that waits renews itself; its script asks in between."""

_OPEN = ("created", "pending")
_CONTACT = ("name", "name_kana", "email", "phone", "chain")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the first page chose. `link`: the code by which somebody else's wallet is charged."""

    money: str
    amount: str
    method: str
    link: str

    @classmethod
    def of(cls, fields: Any) -> Choice:
        return cls(
            fields.get("money", ""), fields.get("amount", ""), fields.get("method", ""), fields.get("for", "")[:60]
        )

    @property
    def fields(self) -> dict[str, Any]:
        """As they are sent on, from form to form."""
        link = {"for": self.link} if self.link else {}
        return {"money": self.money, "amount": self.amount, "method": self.method, **link}

    def wrong(self, options: dict[str, Any]) -> dict[str, str]:
        """What is to be put right, by field."""
        found = {}
        way = _way(options, self.method)
        room = {one["money"]["code"]: one["room_yen"] for one in options["monies"]}
        if self.money not in room:
            found["money"] = "choose"
        if way is None:
            found["method"] = "choose"
        amount_yen = forms.yen(self.amount)
        if not amount_yen:
            return {"amount": "enter", **found}
        if way is not None and (not way["min_yen"] <= amount_yen <= way["max_yen"] or amount_yen % way["step_yen"]):
            return {"amount": "charge_rule", **found}
        if way is not None and way["left_yen"] is not None and amount_yen > way["left_yen"]:
            return {"amount": "card_left", **found}
        if room.get(self.money) is not None and amount_yen > room[self.money]:
            return {"amount": "no_room", **found}
        return found


@pages.get("/charge")
@protected_by(MypageSession(come_back=True))
def charge() -> str | AnyResponse:
    """The form. Its buttons send it here again (`do`), until 確認 shows what is to be paid."""
    with member_api() as api:
        amount, was = forms.added_up(request.args, steps=STEPS_YEN)
        choice = replace(Choice.of(request.args), amount=amount)
        options = charge_options(api, choice.link)
        wrong = choice.wrong(options) if request.args.get("do") == "confirm" else {}
        if request.args.get("do") == "confirm" and not wrong:
            if choice.method == "card":
                return _card_page(options, choice)
            return _slip_page(options, choice, _known_name(api))
    return render_template("mypage/charge.html", options=options, choice=choice, was=was, wrong=wrong, steps=STEPS_YEN)


@pages.post("/charge/card")
@protected_by(MypageSession())
def charge_by_card() -> str | AnyResponse | tuple[str, int]:
    """Order it, and go on to the gateway's page."""
    choice, key = Choice.of(request.form), forms.key(request.form.get("key"))
    birthday = forms.digits(request.form.get("birthday"))
    body = {"birthday_mmdd": birthday} if birthday else {}
    with member_api() as api:
        try:
            ordered = _order(api, choice, key, **body)
        except SignInAgain as error:
            onward = url_for("mypage.charge", **choice.fields, do="confirm")
            return to_sign_in(onward=onward, max_age=error.max_age_s)
        except Unsure:
            return _unsure("mypage.charge_by_card", {**choice.fields, "key": key, "birthday": birthday})
        except Refused as error:
            options = charge_options(api, choice.link)
            return _card_page(options, choice, problem=error.problem, wrong_birthday=error.code == "invalid_fields")
    return redirect(url_for("mypage.charged", charge_id=ordered["id"]), code=303)


@pages.post("/charge/konbini")
@protected_by(MypageSession())
def charge_at_store() -> str | AnyResponse | tuple[str, int]:
    """Look at what was typed, with kana turned and the phone without hyphens; then order it."""
    choice, key = Choice.of(request.form), forms.key(request.form.get("key"))
    typed = {name: request.form.get(name, "").strip() for name in _CONTACT}
    contact = {**typed, "name_kana": forms.kana(typed["name_kana"]), "phone": forms.phone(typed["phone"]) or ""}
    with member_api() as api:
        options = charge_options(api, choice.link)
        wrong = _wrong_contact(contact, options)
        do = request.form.get("do")
        if wrong or do != "order":
            shown = {**contact, "phone": contact["phone"] or typed["phone"]}
            return _slip_page(options, choice, shown, key=key, wrong=wrong, checked=not wrong and do != "edit")
        try:
            ordered = _order(api, choice, key, **contact)
        except Unsure:
            return _unsure("mypage.charge_at_store", {**choice.fields, **contact, "key": key, "do": "order"})
        except Refused as error:
            return _slip_page(options, choice, contact, problem=error.problem)
    return redirect(url_for("mypage.charged", charge_id=ordered["id"]), code=303)


@pages.get("/charge/<uuid:charge_id>")
@protected_by(MypageSession(come_back=True))
def charged(charge_id: UUID) -> AnyResponse:
    """What became of it. While it is open the `Refresh` header renews the page without any script."""
    with member_api() as api:
        found = _found(api, charge_id)
        options = api.charge_options() if found["slip"] else None
        balance = _balance(api, found) if found["credited_yen"] and found["role"] != "payer" else None
    page = make_response(
        render_template(
            "mypage/charged.html",
            one=found,
            options=options,
            balance=balance,
            key=forms.new_key(),
            open=_OPEN,
            bars=_bars(found["slip"]),
        )
    )
    if found["state"] in _OPEN:
        page.headers["Refresh"] = str(LOOK_EVERY_S if found["method"] == "card" else 10 * LOOK_EVERY_S)
    return page


@pages.get("/charge/<uuid:charge_id>/status")
@protected_by(MypageSession())
def charge_status(charge_id: UUID) -> Response:
    """For the page's script: where to go once something has happened."""
    with member_api() as api:
        found = _found(api, charge_id)
    onward = None if found["state"] in _OPEN else url_for("mypage.charged", charge_id=charge_id)
    return jsonify({"onward": onward})


@pages.post("/charge/<uuid:charge_id>/cancel")
@protected_by(MypageSession())
def cancel_charge(charge_id: UUID) -> AnyResponse:
    """Where the money was faster, the page says that it has arrived."""
    with member_api() as api:
        try:
            api.cancel_charge(str(charge_id))
        except Refused as error:
            if error.code != "charge_not_open":
                raise
    return redirect(url_for("mypage.charged", charge_id=charge_id), code=303)


@pages.post("/charge/<uuid:charge_id>/chain")
@protected_by(MypageSession())
def change_chain(charge_id: UUID) -> AnyResponse | tuple[str, int] | str:
    key, chain = forms.key(request.form.get("key")), request.form.get("chain", "")
    with member_api() as api:
        try:
            changed = api.change_chain(str(charge_id), key=key, chain=chain)
        except Unsure:
            fields = {"key": key, "chain": chain}
            action = url_for("mypage.change_chain", charge_id=charge_id)
            return render_template("mypage/unsure.html", action=action, fields=fields), 503
        except Refused as error:
            if error.code == "invalid_fields":
                raise BadRequest from None
            return redirect(url_for("mypage.charged", charge_id=charge_id), code=303)
    return redirect(url_for("mypage.charged", charge_id=changed["id"]), code=303)


@pages.get("/charges")
@protected_by(MypageSession(come_back=True))
def charges() -> str:
    """All of them, newest first."""
    with member_api() as api:
        found = api.charges(cursor=request.args.get("cursor"))
    if found is None:
        raise NotAllowed("charge")
    return render_template("mypage/charges.html", found=found)


def charge_options(api: MemberApi, link: str = "") -> dict[str, Any]:
    """By a link: only its money, of which neither balance nor room is known, and `receiver`, whose it is."""
    if "charge" not in api.me()["scopes"]:
        raise NotAllowed("charge")
    try:
        found = api.charge_options()
    except Refused as error:
        if error.code != "charges_closed":
            raise
        found = None
    found = found or {"methods": [], "monies": [], "identity": "none"}
    if not link:
        return found
    try:
        given = api.find_charge_link(link)
    except Refused as error:
        return {**found, "monies": [], "problem": error.problem}
    only = {"money": given["money"], "balance_yen": None, "room_yen": None}
    return {**found, "monies": [only], "receiver": given["shown_as"]}


def _way(options: dict[str, Any], method: str) -> dict[str, Any] | None:
    return next((way for way in options["methods"] if way["method"] == method), None)


def _known_name(api: MemberApi) -> dict[str, str]:
    return {"name": api.me()["name"] or ""}


def _order(api: MemberApi, choice: Choice, key: str, **body: Any) -> dict[str, Any]:
    amount_yen = forms.yen(choice.amount)
    if not amount_yen:
        raise BadRequest
    link = {"link": choice.link} if choice.link else {}
    return api.order_charge(key=key, money=choice.money, amount_yen=amount_yen, method=choice.method, **link, **body)


def _unsure(endpoint: str, fields: dict[str, str]) -> tuple[str, int]:
    return render_template("mypage/unsure.html", action=url_for(endpoint), fields=fields), 503


def _card_page(options: dict[str, Any], choice: Choice, *, problem: Any = None, wrong_birthday: bool = False) -> str:
    return render_template(
        "mypage/charge_card.html",
        options=options,
        choice=choice,
        way=_chosen_way(options, choice),
        amount_yen=forms.yen(choice.amount),
        money=_money(options, choice.money),
        key=forms.new_key(),
        problem=None if wrong_birthday else problem,
        wrong={"birthday": "birthday"} if wrong_birthday else {},
    )


def _slip_page(
    options: dict[str, Any],
    choice: Choice,
    contact: dict[str, str],
    *,
    key: str | None = None,
    wrong: dict[str, str] | None = None,
    checked: bool = False,
    problem: Any = None,
) -> str:
    return render_template(
        "mypage/charge_check.html" if checked else "mypage/charge_konbini.html",
        options=options,
        choice=choice,
        way=_chosen_way(options, choice),
        amount_yen=forms.yen(choice.amount),
        money=_money(options, choice.money),
        contact={**dict.fromkeys(_CONTACT, ""), **contact},
        key=key if key is not None and problem is None else forms.new_key(),
        wrong=wrong or {},
        problem=problem,
    )


def _chosen_way(options: dict[str, Any], choice: Choice) -> dict[str, Any]:
    way = _way(options, choice.method)
    if way is None or forms.yen(choice.amount) is None:
        raise BadRequest
    return way


def _money(options: dict[str, Any], code: str) -> dict[str, Any]:
    for one in options["monies"]:
        if one["money"]["code"] == code:
            chosen: dict[str, Any] = one
            return chosen
    raise BadRequest


def _wrong_contact(contact: dict[str, str], options: dict[str, Any]) -> dict[str, str]:
    way = _way(options, "konbini")
    wrong = {}
    if not contact["name"] or len(contact["name"]) > 40:
        wrong["name"] = "name"
    if not forms.is_kana(contact["name_kana"]):
        wrong["name_kana"] = "name_kana"
    if "@" not in contact["email"] or len(contact["email"]) > 254:
        wrong["email"] = "email"
    if not contact["phone"]:
        wrong["phone"] = "phone"
    if way is None or contact["chain"] not in way["chains"]:
        wrong["chain"] = "choose"
    return wrong


def _found(api: MemberApi, charge_id: UUID) -> dict[str, Any]:
    try:
        found = api.charge(str(charge_id))
    except Refused as error:
        if error.code == "charge_unknown":
            raise NotFound from None
        raise
    if found is None:
        raise NotAllowed("charge")
    return found


def _bars(slip: dict[str, Any] | None) -> Markup | None:
    """What the till reads off the page, where the chain has it."""
    digits = slip["barcode"] if slip else None
    return barcode(digits) if digits and digits.isascii() and digits.isdigit() and len(digits) <= 40 else None


def _balance(api: MemberApi, one: dict[str, Any]) -> int | None:
    """Of the money that was charged, where balances may be seen."""
    for wallet in api.wallets() or ():
        if wallet["money"]["code"] == one["money"]["code"]:
            balance: int = wallet["balance_yen"]
            return balance
    return None
