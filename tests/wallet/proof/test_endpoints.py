"""What members, holders of a receipt and everybody get over HTTP."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient

from app.wallet import ledger
from app.wallet.models import KINDS
from app.wallet.postings import Accepted
from app.wallet.proof import links, sealing, signature
from app.wallet.proof.check import check
from app.web.locale import LOCALES, translate
from tests import factories
from tests.wallet.postings import payment
from tests.wallet.proof.books import behind_the_triggers, look, rows, settings_of
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger


def bearer(yesterday: Yesterday, *scopes: str, member_id: UUID | None = None) -> dict[str, str]:
    with yesterday.app.app_context():
        token = factories.access_token(
            member_id=member_id or yesterday.holder.member_id,
            client_id=factories.oauth_client().id,
            scopes=scopes or ["history"],
        )
    return {"Authorization": f"Bearer {token}"}


def client_of(yesterday: Yesterday) -> FlaskClient:
    return yesterday.app.test_client()


def receipt_path(yesterday: Yesterday, transaction_id: UUID) -> str:
    with yesterday.app.app_context():
        url = links.receipt_url(transaction_id)
    assert url.startswith(settings_of(yesterday.app).issuer_url)
    return url.removeprefix(settings_of(yesterday.app).issuer_url)


# --- the member's own, by the API ---


def test_a_member_gets_the_proof_of_their_own_transaction(yesterday: Yesterday) -> None:
    transaction_id = yesterday.transactions[1]
    answer = client_of(yesterday).get(f"/v1/transactions/{transaction_id}/proof", headers=bearer(yesterday))
    assert answer.status_code == 200
    proven = check(answer.get_json())
    assert (proven.receipt["id"], proven.receipt["amount_yen"]) == (str(transaction_id), 450)
    assert proven.details is not None
    assert proven.details["description"] == "昼食 A定食"
    document = yesterday.app.extensions["kumiai.openapi"]
    assert answer.get_json().keys() == document["components"]["schemas"]["ProofView"]["properties"].keys()


def test_no_more_is_shown_to_them_than_is_theirs(yesterday: Yesterday) -> None:
    """A shop's takings are the shop's; the other member is somebody else."""
    answer = client_of(yesterday).get(f"/v1/transactions/{yesterday.transactions[1]}/proof", headers=bearer(yesterday))
    assert "after_yen" not in answer.text
    assert "account" not in answer.text
    assert str(yesterday.other) not in answer.text


@pytest.mark.parametrize("which", ["another's", "none"])
def test_of_anothers_it_knows_nothing(yesterday: Yesterday, which: str) -> None:
    transaction_id = yesterday.other if which == "another's" else uuid4()
    answer = client_of(yesterday).get(f"/v1/transactions/{transaction_id}/proof", headers=bearer(yesterday))
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_it_needs_the_scope_history(yesterday: Yesterday) -> None:
    headers = bearer(yesterday, "balance")
    answer = client_of(yesterday).get(f"/v1/transactions/{yesterday.transactions[1]}/proof", headers=headers)
    assert answer.status_code == 403


def test_before_its_day_is_signed_it_says_when_to_ask_again(yesterday: Yesterday) -> None:
    with yesterday.app.app_context():
        holder = factories.holder(balance_yen=1_000)
        paid = ledger.post(payment(holder, 100))
    assert isinstance(paid, Accepted)
    headers = bearer(yesterday, member_id=holder.member_id)
    answer = client_of(yesterday).get(f"/v1/transactions/{paid.transaction_id}/proof", headers=headers)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "proof_not_ready")
    zone = settings_of(yesterday.app).zone
    ready_at = sealing.ends_at(paid.created_at.astimezone(zone).date(), zone) + sealing.SIGN_AFTER
    ask_again_at = paid.created_at + timedelta(seconds=int(answer.headers["Retry-After"]))
    assert timedelta() < ask_again_at - ready_at < timedelta(minutes=2)
    page = client_of(yesterday).get(receipt_path(yesterday, paid.transaction_id))
    assert translate_in(yesterday, "receipt.waiting") in page.text
    assert "proof.json" not in page.text
    file = client_of(yesterday).get(receipt_path(yesterday, paid.transaction_id) + "/proof.json")
    assert (file.status_code, file.mimetype) == (409, "text/html")


def translate_in(yesterday: Yesterday, key: str, locale: str = "ja", **values: object) -> str:
    with yesterday.app.app_context():
        return translate(key, locale, **values)


# --- the receipt's page ---


@pytest.mark.parametrize("locale", LOCALES)
def test_a_receipts_page_says_what_the_receipt_says(yesterday: Yesterday, locale: str) -> None:
    path = receipt_path(yesterday, yesterday.transactions[1])
    page = client_of(yesterday).get(path, headers={"Accept-Language": locale})
    assert page.status_code == 200
    for words in ("¥450", "0000-0002", {"ja": "中央食堂", "en": "Central Canteen"}[locale]):
        assert words in page.text
    assert translate_in(yesterday, "receipt.signed", locale) in page.text
    assert translate_in(yesterday, "receipt.kind.payment", locale) in page.text
    assert not re.search(r"receipt\.[a-z]", page.text), "each sentence was found"
    for hidden in ("組合", "昼食", str(yesterday.holder.member_id), str(yesterday.transactions[1]), "1,550"):
        assert hidden not in page.text.replace("試験生協", "")
    assert page.headers["X-Robots-Tag"] == "noindex"


def test_its_file_is_a_proof(yesterday: Yesterday) -> None:
    page = client_of(yesterday).get(receipt_path(yesterday, yesterday.transactions[1]))
    (href,) = re.findall(r'href="([^"]+/proof\.json)"', page.text)
    file = client_of(yesterday).get(href)
    assert 'attachment; filename="kumiai-proof-2.json"' in file.headers["Content-Disposition"]
    proven = check(json.loads(file.data))
    assert proven.receipt["amount_yen"] == 450
    assert proven.details is None


def test_nobody_guesses_a_receipts_address(yesterday: Yesterday) -> None:
    path = receipt_path(yesterday, yesterday.transactions[1])
    other = receipt_path(yesterday, yesterday.transactions[2])
    mixed = path[:32] + other[32:]  # the id of one, the hash of the other
    last = "A" if path[-1] != "A" else "E"
    wrong = [mixed, path[:-1], path[:-1] + last, path + "A", path + "=", path.lower(), "/receipts/あ"]
    for each in [*wrong, f"/receipts/{yesterday.transactions[1]}", f"/receipts/{'A' * 43}"]:
        for suffix in ("", "/proof.json"):
            assert client_of(yesterday).get(each + suffix).status_code == 404, each


def test_an_address_of_no_transaction_leads_nowhere(yesterday: Yesterday) -> None:
    path = receipt_path(yesterday, uuid4())
    assert client_of(yesterday).get(path).status_code == 404
    assert client_of(yesterday).get(path + "/proof.json").status_code == 404


def test_a_record_that_was_changed_is_not_called_true(own_yesterday: Yesterday) -> None:
    changed = own_yesterday.transactions[1]
    with behind_the_triggers(own_yesterday.app) as connection:
        connection.execute("UPDATE transaction SET amount_yen = 45 WHERE id = %s", [changed])
    page = client_of(own_yesterday).get(receipt_path(own_yesterday, changed))
    assert page.status_code == 200
    assert translate_in(own_yesterday, "receipt.changed") in page.text
    assert translate_in(own_yesterday, "receipt.signed") not in page.text
    answer = client_of(own_yesterday).get(f"/v1/transactions/{changed}/proof", headers=bearer(own_yesterday))
    assert (answer.status_code, answer.get_json()["code"]) == (409, "record_changed")
    file = client_of(own_yesterday).get(receipt_path(own_yesterday, changed) + "/proof.json")
    assert file.status_code == 409


def test_a_statement_that_was_changed_is_not_called_true(own_yesterday: Yesterday) -> None:
    with behind_the_triggers(own_yesterday.app) as connection:
        connection.execute("UPDATE proof_day SET statement = (SELECT statement FROM proof_day ORDER BY day LIMIT 1)")
    page = client_of(own_yesterday).get(receipt_path(own_yesterday, own_yesterday.transactions[1]))
    assert translate_in(own_yesterday, "receipt.changed") in page.text


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_words(yesterday: Yesterday, kind: str, locale: str) -> None:
    assert translate_in(yesterday, f"receipt.kind.{kind}", locale) != f"receipt.kind.{kind}"


# --- the signed days, for everybody ---


def test_anyone_may_keep_the_signed_days(yesterday: Yesterday) -> None:
    latest = client_of(yesterday).get("/proof/latest")
    assert latest.headers["Access-Control-Allow-Origin"] == "*"
    assert latest.headers["Cache-Control"] == "public, max-age=300"
    body = latest.get_json()
    claims = signature.verified(body["statement"], jwk=body["key"])
    assert claims["day"] == body["day"]
    again = client_of(yesterday).get(f"/proof/days/{body['day']}")
    assert again.get_json() == body
    (keys,) = client_of(yesterday).get("/proof/keys").get_json().values()
    assert keys == [body["key"]]
    published = client_of(yesterday).get("/oauth/jwks.json").get_json()["keys"]
    assert body["key"] in published


@pytest.mark.parametrize("day", ["2020-01-01", "20200101", "2020-W01-1", "2020-13-01", "x", "٢٠٢٠-٠١-٠١", "9999-12-31"])
def test_a_day_that_is_not_signed_is_not_there(yesterday: Yesterday, day: str) -> None:
    answer = client_of(yesterday).get(f"/proof/days/{day}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_before_the_first_day_is_signed_there_is_none(client: FlaskClient) -> None:
    assert client.get("/proof/latest").status_code == 404
    assert client.get("/proof/keys").get_json() == {"keys": []}
    assert client.get(f"/proof/days/{date(2020, 1, 1)}").status_code == 404


def test_a_day_looked_at_is_the_day_that_was_signed(own_yesterday: Yesterday) -> None:
    days = [day for (day,) in rows(own_yesterday.app, "SELECT day FROM proof_day ORDER BY day")]
    look(own_yesterday.app)
    shown = [client_of(own_yesterday).get(f"/proof/days/{day}").get_json()["day"] for day in days]
    assert shown == [str(day) for day in days]
