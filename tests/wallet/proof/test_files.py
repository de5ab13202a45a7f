"""A proof file proves what it says and nothing else: every change to it, of whatever part, is found."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from app.wallet.proof import check as checking
from app.wallet.proof import proofs, records
from app.wallet.proof.check import NotProven, Unreadable, check
from app.wallet.proof.commitments import STATEMENT_TYP, canonical
from tests.conftest import ROOT
from tests.wallet.proof import by_the_book
from tests.wallet.proof.books import settings_of
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where every single value of a JSON document is."""
    if isinstance(value, dict | list) and value:
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, *path, name)
    else:
        yield path


def replaced(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    changed = copy.deepcopy(document)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def found_out(proof: dict[str, Any], *, keys: list[dict[str, Any]] | None = None) -> bool:
    try:
        check(proof, keys=keys)
    except (NotProven, Unreadable):
        return True
    return False


def test_every_transaction_has_its_proof(yesterday: Yesterday) -> None:
    for n, transaction_id in enumerate(yesterday.transactions):
        proof = json.loads(json.dumps(yesterday.proof(n)))
        proven = check(proof)
        assert proven.receipt["id"] == str(transaction_id)
        assert proven.details is not None
        assert proven.details["member_id"] == str(yesterday.holder.member_id)
        by_the_book.check(proof)


def test_a_receipts_proof_shows_the_receipt_only(yesterday: Yesterday) -> None:
    proof = yesterday.proof(sections=proofs.RECEIPT)
    assert check(proof).details is None
    by_the_book.check(proof)
    said = json.dumps(proof)
    for hidden in (str(yesterday.holder.member_id), "昼食", "debit", "after_yen"):
        assert hidden not in said


def test_the_same_content_is_hashed_apart(yesterday: Yesterday) -> None:
    """Nobody finds a hidden section by trying: no two nonces are alike, nor is one told by another."""
    nonces = [part["nonce"] for n in range(5) for part in yesterday.proof(n)["transaction"].values() if "nonce" in part]
    assert len(set(nonces)) == len(nonces) == 10


OTHERS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**6), st.text(max_size=70), st.just([]), st.just({}), st.just({"a": 1})
)


@given(data=st.data())
def test_any_other_value_in_any_place_is_found(yesterday: Yesterday, data: st.DataObject) -> None:
    proof = yesterday.proof(data.draw(st.integers(0, 4)))
    path = data.draw(st.sampled_from([path for path in places(proof) if path not in SAID_FOR_PEOPLE]))
    changed = replaced(proof, path, data.draw(OTHERS))
    assume(json.dumps(changed) != json.dumps(proof))
    assert found_out(changed)
    assert refused_by_the_book(changed)


SAID_FOR_PEOPLE = {("key", "use"), ("key", "alg"), ("key", "kid")}
"""The key is its numbers; its name is worked out from them."""


def refused_by_the_book(proof: dict[str, Any]) -> bool:
    try:
        by_the_book.check(proof)
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError):
        return True
    return False


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


@given(data=st.data())
def test_any_other_letter_in_any_text_is_found(yesterday: Yesterday, data: st.DataObject) -> None:
    """Hashes, nonces, the statement, the key: each differs by one character."""
    proof = yesterday.proof(1)
    texts = [path for path in places(proof) if isinstance(_at(proof, path), str) and path[0] != "key"]
    path = data.draw(st.sampled_from([*texts, ("key", "x"), ("key", "y")]))
    text = _at(proof, path)
    if not text:
        return
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("0123456789abcdefXYZ._-").filter(lambda letter: letter != text[at]))
    assert found_out(replaced(proof, path, text[:at] + letter + text[at + 1 :]))


@given(data=st.data())
def test_whatever_is_missing_or_added_is_found_or_says_nothing(yesterday: Yesterday, data: st.DataObject) -> None:
    proof = yesterday.proof(4)
    path = data.draw(st.sampled_from([path for path in places(proof) if path[0] != "key" or path[1] in ("x", "y")]))
    changed = copy.deepcopy(proof)
    inner = _at(changed, path[:-1])
    del inner[path[-1]]
    assert found_out(changed)
    section = data.draw(st.sampled_from(["receipt", "details"]))
    more = replaced(proof, ("transaction", section, "content", data.draw(st.text(min_size=1))), "more")
    assert found_out(more)


def test_parts_of_two_proofs_make_none(yesterday: Yesterday) -> None:
    one, other = yesterday.proof(1), yesterday.proof(2)
    for path in [("transaction",), ("transaction", "receipt"), ("transaction", "details"), ("block", "path")]:
        assert found_out(replaced(one, path, _at(other, path)))


def test_a_hidden_section_is_not_passed_off_as_another(yesterday: Yesterday) -> None:
    proof = yesterday.proof(1)
    parts = proof["transaction"]
    for left, right in (("receipt", "details"), ("details", "books"), ("receipt", "books")):
        swapped = {**parts, left: parts[right], right: parts[left]}
        assert found_out({**proof, "transaction": swapped})


def test_a_day_signed_by_another_key_proves_itself_only(yesterday: Yesterday) -> None:
    """Whoever makes their own key can sign what they like: the file says it is signed, not by whom."""
    proof = yesterday.proof(1)
    key = ECKey.generate_key("P-256")
    key.ensure_kid()
    public = key.as_dict(private=False)
    claims = json.loads(base64.urlsafe_b64decode(proof["day"]["statement"].split(".")[1] + "=="))
    header = {"typ": STATEMENT_TYP, "alg": "ES256", "kid": key.kid}
    forged = {
        **proof,
        "key": public,
        "day": {**proof["day"], "statement": jwt.encode(header, claims, key, ["ES256"])},
    }
    check(forged)
    with yesterday.app.app_context():
        keys = proofs.every_key()
    check(proof, keys=keys)
    with pytest.raises(NotProven, match="key"):
        check(forged, keys=keys)
    with pytest.raises(NotProven, match="signature"):
        check({**proof, "key": public})
    with pytest.raises(NotProven, match="signature"):
        check({**proof, "day": forged["day"]})


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt", "alg": "ES256"},
        {"typ": STATEMENT_TYP, "alg": "none"},
        {"typ": STATEMENT_TYP, "alg": "HS256"},
        {"typ": STATEMENT_TYP, "alg": "ES256", "crit": ["exp"], "exp": 1},
    ],
    ids=str,
)
def test_nothing_else_that_a_key_signs_passes_for_a_day(yesterday: Yesterday, header: dict[str, Any]) -> None:
    proof = yesterday.proof(1)
    first = base64.urlsafe_b64encode(json.dumps({**header, "kid": proof["key"]["kid"]}).encode()).decode().rstrip("=")
    statement = ".".join([first, *proof["day"]["statement"].split(".")[1:]])
    with pytest.raises(NotProven, match="signature"):
        check({**proof, "day": {**proof["day"], "statement": statement}})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"format": NaN}',
        b'{"format": 1.5}',
        b'{"format": "kumiai-proof-1", "format": "kumiai-proof-1"}',
        b"[" * 100_000,
        b'"' + b"a" * checking.MAX_BYTES + b'"',
        b"9" * 5_000,
    ],
    ids=lambda raw: raw[:12],
)
def test_what_is_no_such_json_is_said_to_be_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        checking.load(raw)


@pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", 1.5], ids=str)
def test_what_has_no_canonical_form_is_unreadable(yesterday: Yesterday, value: Any) -> None:
    proof = replaced(yesterday.proof(1), ("transaction", "details", "content", "description"), value)
    with pytest.raises(Unreadable):
        check(proof)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-100, 100) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_anything_else_is_refused_in_order(document: Any) -> None:
    proof = document if isinstance(document, dict) else {"format": checking.FORMAT, "key": document}
    with pytest.raises((Unreadable, NotProven)):
        check(proof)


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    """Section 3.2.3's own example of names in order, and its escapes of section 3.2.2.2."""
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    values = [2, 4, 6, 7, 1, 5, 3]
    assert list(json.loads(canonical(names)).values()) == values
    assert canonical("\u20ac$\u000f\nA'\u0042\u0022\u005c\\\"/") == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()
    assert canonical({"a": [True, False, None, -7]}) == b'{"a":[true,false,null,-7]}'


def test_the_documentation_names_every_field(yesterday: Yesterday) -> None:
    """docs/proof.md is what others write their checks from: every name, of the file and of the signed claims."""
    described = (ROOT / "docs/proof.md").read_text(encoding="utf-8")
    proof = yesterday.proof(2)
    with psycopg.connect(settings_of(yesterday.app).database_url) as connection:
        (record,) = records.read(connection, issuer_id=yesterday.holder.issuer_id, first=2, last=2)
    names = {name for part in (proof, check(proof).day, *record.contents) for path in places(part) for name in path}
    names = {name for name in names if isinstance(name, str)}
    assert not {name for name in names if f'"{name}"' not in described and f"`{name}`" not in described}
