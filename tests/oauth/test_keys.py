"""Signing keys: made, published, rotated. Each test has a database of its own, so that it may rotate."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from app import clock
from app.cli import main
from app.db import transaction
from app.oauth import keys
from app.oauth.grant_types import ID_TOKEN_LIFE_S
from app.seal import SealBroken
from app.settings import Settings
from tests.live import ROOT, eventually, server_env
from tests.oauth.conftest import Member, ThirdParty
from tests.oauth.statements import sent
from tests.oauth.test_races import at_once

Rows = Callable[..., list[Any]]
PUBLIC = {
    "ES256": {"kty", "crv", "x", "y"},
    "PS256": {"kty", "n", "e"},
    "EdDSA": {"kty", "crv", "x"},
}
HALF_HASH = {"ES256": hashlib.sha256, "PS256": hashlib.sha256, "EdDSA": hashlib.sha512}


@pytest.fixture
def app(fresh_app: Flask) -> Flask:
    return fresh_app


@pytest.fixture
def sealing_key(app: Flask) -> bytes:
    settings: Settings = app.extensions["kumiai.settings"]
    return settings.sealing_key


@pytest.fixture
def published(app: Flask) -> Callable[[], dict[str, Any]]:
    """The set of keys, as anybody reads it."""

    def read() -> dict[str, Any]:
        answer = app.test_client().get("/oauth/jwks.json")
        assert answer.status_code == 200
        jwks: dict[str, Any] = answer.get_json()
        return jwks

    return read


@pytest.fixture
def rotate(app: Flask, sealing_key: bytes) -> Callable[..., keys.Rotation]:
    def call(*, alg: str = "ES256", at_once: bool = True) -> keys.Rotation:
        with app.app_context(), transaction():
            return keys.rotate(alg=alg, sealing_key=sealing_key, at_once=at_once)

    return call


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Sets the clock ahead of now."""
    began = clock.now()

    def set_(ahead: timedelta) -> None:
        monkeypatch.setattr(clock, "now", lambda: began + ahead)

    return set_


def kids(jwks: dict[str, Any]) -> set[str]:
    return {jwk["kid"] for jwk in jwks["keys"]}


@pytest.mark.parametrize("alg", keys.ALGS)
def test_an_id_token_is_signed_with_the_clients_algorithm(
    new_third_party: Callable[..., ThirdParty], member: Member, published: Callable[[], dict[str, Any]], alg: str
) -> None:
    third_party = new_third_party(id_token_alg=alg)
    before = published()  # as a client that was just registered reads it

    tokens = third_party.tokens(member)

    token = jwt.decode(tokens["id_token"], KeySet.import_key_set(before), algorithms=[alg])
    assert token.header["alg"] == alg
    assert token.header["kid"] in kids(before)
    assert token.claims["aud"] == third_party.id
    digest = HALF_HASH[alg](tokens["access_token"].encode()).digest()
    assert token.claims["at_hash"] == base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


@pytest.mark.parametrize("alg", keys.ALGS)
def test_published_keys_are_public_and_named_by_their_thumbprints(
    new_third_party: Callable[..., ThirdParty], published: Callable[[], dict[str, Any]], alg: str
) -> None:
    new_third_party(id_token_alg=alg)

    jwks = published()

    of_it = [jwk for jwk in jwks["keys"] if jwk["alg"] == alg]
    assert len(of_it) == 2  # the current and the next
    assert len(kids(jwks)) == len(jwks["keys"])
    for jwk in of_it:
        assert set(jwk) == PUBLIC[alg] | {"kid", "use", "alg"}
        assert jwk["use"] == "sig"
        assert jwk["kid"] == KeySet.import_key_set({"keys": [jwk]}).keys[0].thumbprint()


def test_an_algorithm_nobody_asks_for_has_no_keys(
    new_third_party: Callable[..., ThirdParty], published: Callable[[], dict[str, Any]]
) -> None:
    assert Counter(jwk["alg"] for jwk in published()["keys"]) == {"ES256": 2}
    new_third_party(id_token_alg="EdDSA")
    assert Counter(jwk["alg"] for jwk in published()["keys"]) == {"ES256": 2, "EdDSA": 2}


def test_the_set_may_be_kept_as_long_as_a_key_waits_to_sign(app: Flask) -> None:
    answer = app.test_client().get("/oauth/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert timedelta(seconds=300) < keys.PUBLISHED_BEFORE


def test_private_keys_are_stored_sealed(app: Flask, sealing_key: bytes, rows: Rows) -> None:
    with app.app_context():
        private = keys.current_key(sealing_key=sealing_key).as_dict(private=True)

    for (stored,) in rows("SELECT signing_key::text FROM signing_key"):
        assert private["d"] not in stored
        assert str(private["d"]).encode().hex() not in stored
    with app.app_context(), pytest.raises(SealBroken):
        keys.current_key(sealing_key=b"another key of thirty-two bytes!")


def test_twenty_first_uses_make_one_current_and_one_next_key(app: Flask, sealing_key: bytes, rows: Rows) -> None:
    def kid(_: int) -> str:
        with app.app_context():
            return str(keys.current_key(sealing_key=sealing_key).kid)

    used = set(at_once(kid))

    stored = dict(rows("SELECT state, kid FROM signing_key"))
    assert stored.keys() == {"current", "next"}
    assert used == {stored["current"]}
    assert len(rows("SELECT FROM signing_key")) == 2


def test_a_roll_back_does_not_take_away_the_key_that_signed(
    app: Flask, sealing_key: bytes, published: Callable[[], dict[str, Any]]
) -> None:
    class Refused(Exception):
        pass

    with app.app_context(), pytest.raises(Refused), transaction():
        signed = keys.sign({"a": 1}, typ="JWT", alg="ES256", sealing_key=sealing_key)
        raise Refused
    assert jwt.decode(signed, KeySet.import_key_set(published())).claims == {"a": 1}


def test_a_warm_process_signs_without_a_query(app: Flask, sealing_key: bytes) -> None:
    with app.app_context():
        first = keys.current_key(sealing_key=sealing_key)
        with sent() as seen:
            assert keys.current_key(sealing_key=sealing_key) is first
    assert not seen.statements


def test_a_rotation_moves_each_key_one_state_on(
    published: Callable[[], dict[str, Any]], rotate: Callable[..., keys.Rotation], rows: Rows
) -> None:
    before = kids(published())
    first = dict(rows("SELECT state, kid FROM signing_key"))

    done = rotate()

    after = dict(rows("SELECT state, kid FROM signing_key"))
    assert after == {"retired": first["current"], "current": first["next"], "next": done.next}
    assert (done.retired, done.current) == (after["retired"], after["current"])
    assert kids(published()) == before | {done.next}
    assert done.next not in before


def test_other_algorithms_stay_as_they_are(
    new_third_party: Callable[..., ThirdParty],
    published: Callable[[], dict[str, Any]],
    rotate: Callable[..., keys.Rotation],
    rows: Rows,
) -> None:
    new_third_party(id_token_alg="EdDSA")
    published()
    usual = rows("SELECT kid, state FROM signing_key WHERE alg = 'ES256' ORDER BY kid")

    rotate(alg="EdDSA")

    assert rows("SELECT kid, state FROM signing_key WHERE alg = 'ES256' ORDER BY kid") == usual
    assert dict(rows("SELECT state, count(*) FROM signing_key WHERE alg = 'EdDSA' GROUP BY 1")) == {
        "retired": 1,
        "current": 1,
        "next": 1,
    }


def test_a_next_key_signs_only_when_every_kept_set_has_it(
    published: Callable[[], dict[str, Any]],
    rotate: Callable[..., keys.Rotation],
    at: Callable[[timedelta], None],
    rows: Rows,
) -> None:
    at(timedelta())
    published()
    stored = rows("SELECT kid, state FROM signing_key ORDER BY kid")

    at(keys.PUBLISHED_BEFORE - timedelta(seconds=1))
    with pytest.raises(keys.NextKeyTooYoung) as refusal:
        rotate(at_once=False)
    assert rows("SELECT kid, state FROM signing_key ORDER BY kid") == stored

    at(keys.PUBLISHED_BEFORE)
    assert refusal.value.ready_at == clock.now()
    rotate(at_once=False)


def test_the_first_rotation_of_a_server_that_never_signed_publishes_keys_and_waits(
    rotate: Callable[..., keys.Rotation], published: Callable[[], dict[str, Any]], rows: Rows
) -> None:
    with pytest.raises(keys.NextKeyTooYoung):
        rotate(at_once=False)
    made = {kid for (kid,) in rows("SELECT kid FROM signing_key")}
    assert len(made) == 2  # kept, although the rotation was refused: the wait has begun
    assert kids(published()) == made


def test_a_retired_key_is_published_until_what_it_signed_has_expired(
    published: Callable[[], dict[str, Any]], rotate: Callable[..., keys.Rotation], at: Callable[[timedelta], None]
) -> None:
    at(timedelta())
    published()
    retired = rotate().retired

    at(keys.PUBLISHED_AFTER - timedelta(seconds=1))
    assert retired in kids(published())
    at(keys.PUBLISHED_AFTER)
    assert retired not in kids(published())
    assert timedelta(seconds=ID_TOKEN_LIFE_S) < keys.PUBLISHED_AFTER


def test_a_retired_key_loses_its_private_half_at_once(rotate: Callable[..., keys.Rotation], rows: Rows) -> None:
    rotate()
    sealed = dict(rows("SELECT state, private_sealed IS NOT NULL FROM signing_key"))
    assert sealed == {"retired": False, "current": True, "next": True}


def test_a_retired_key_is_kept_for_hints_and_deleted_by_rotation_or_clean_up(
    app: Flask, rotate: Callable[..., keys.Rotation], at: Callable[[timedelta], None], rows: Rows
) -> None:
    def forget() -> int:
        with app.app_context(), transaction():
            return keys.forget_retired()

    at(timedelta())
    first, second = rotate().retired, rotate().retired
    at(keys.KEPT_AFTER - timedelta(seconds=1))
    assert forget() == 0
    third = rotate().retired

    at(keys.KEPT_AFTER)
    assert forget() == 2
    assert forget() == 0
    left = {kid for (kid,) in rows("SELECT kid FROM signing_key WHERE state = 'retired'")}
    assert left == {third}
    assert not {first, second} & left

    at(2 * keys.KEPT_AFTER)
    rotate()
    assert not rows("SELECT FROM signing_key WHERE kid = :kid", kid=third)


def test_of_twenty_rotations_at_once_one_wins_and_the_others_say_so(
    app: Flask,
    rotate: Callable[..., keys.Rotation],
    published: Callable[[], dict[str, Any]],
    at: Callable[[timedelta], None],
    rows: Rows,
) -> None:
    at(timedelta())
    published()
    at(keys.PUBLISHED_BEFORE)

    def attempt(_: int) -> str:
        try:
            return rotate(at_once=False).current
        except (keys.NextKeyTooYoung, keys.KeysRotatedMeanwhile) as refusal:
            return type(refusal).__name__

    answers = at_once(attempt)

    winners = [answer for answer in answers if answer not in ("KeysRotatedMeanwhile", "NextKeyTooYoung")]
    assert len(winners) == 1
    assert dict(rows("SELECT state, count(*) FROM signing_key GROUP BY 1")) == {"retired": 1, "current": 1, "next": 1}
    assert rows("SELECT kid FROM signing_key WHERE state = 'current'") == [(winners[0],)]


def test_a_rotation_that_waited_for_another_does_not_rotate_again(
    app: Flask,
    rotate: Callable[..., keys.Rotation],
    published: Callable[[], dict[str, Any]],
    sealing_key: bytes,
    rows: Rows,
) -> None:
    published()

    def waits() -> bool | None:
        return (
            bool(rows("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE%'")) or None
        )

    with ThreadPoolExecutor(1) as pool:
        with app.app_context(), transaction():
            keys.rotate(alg="ES256", sealing_key=sealing_key, at_once=True)
            second = pool.submit(rotate)
            eventually(waits)
        with pytest.raises(keys.KeysRotatedMeanwhile):
            second.result()
    assert len(rows("SELECT FROM signing_key WHERE state = 'retired'")) == 1


def test_the_database_holds_a_state_to_its_times_and_one_current_key_per_algorithm(
    published: Callable[[], dict[str, Any]], fresh_database: str
) -> None:
    published()
    for statement in (
        "UPDATE signing_key SET state = 'retired' WHERE state = 'current'",
        "UPDATE signing_key SET retired_at = now() WHERE state = 'current'",
        "UPDATE signing_key SET current_at = now() WHERE state = 'next'",
        "UPDATE signing_key SET private_sealed = NULL WHERE state = 'next'",
        "UPDATE signing_key SET state = 'current', current_at = now() WHERE state = 'next'",
    ):
        with psycopg.connect(fresh_database) as connection, pytest.raises(psycopg.IntegrityError):
            connection.execute(statement)


@pytest.fixture
def kumiai(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`kumiai …`, with the environment of the server."""
    settings: Settings = app.extensions["kumiai.settings"]

    def call(*arguments: str, lang: str = "en_GB.UTF-8", **changes: Any) -> Result:
        environment = {**server_env(replace(settings, **changes)), "LANG": lang}
        return CliRunner().invoke(main, arguments, env=environment)

    return call


def test_keys_list_says_what_each_key_does(
    kumiai: Callable[..., Result], rotate: Callable[..., keys.Rotation], rows: Rows
) -> None:
    rotate()

    answer = kumiai("keys", "list")

    assert answer.exit_code == 0, answer.output
    lines = answer.output.splitlines()
    assert lines[0].split() == ["key", "(kid)", "algorithm", "state", "since", "what", "comes", "next"]
    assert len(lines) == 4
    for kid, state in rows("SELECT kid, state FROM signing_key"):
        (line,) = (line for line in lines if kid in line)
        assert line.split()[1:3] == ["ES256", state]
    assert "until the next rotation" in answer.output
    assert "may sign from" in answer.output
    assert "published until" in answer.output


def test_keys_list_is_in_columns_in_japanese_too(kumiai: Callable[..., Result], rotate: Callable[..., Any]) -> None:
    rotate()
    lines = kumiai("keys", "list", lang="ja_JP.UTF-8").output.splitlines()
    assert lines[0].startswith("鍵（kid）")
    # each of the nine full-width characters before the fourth column takes two places there
    assert lines[0].index("いつから") + len("鍵（）アルゴリズム状態") == lines[1].index("+09:00") - len(
        "2026-01-01 00:00:00"
    )


def test_keys_rotate(kumiai: Callable[..., Result], published: Callable[[], dict[str, Any]], rows: Rows) -> None:
    published()
    before = dict(rows("SELECT state, kid FROM signing_key"))

    refused = kumiai("keys", "rotate")
    assert refused.exit_code == 1
    assert "too new to sign" in refused.output
    assert "--now" in refused.output
    assert "Traceback" not in refused.output

    done = kumiai("keys", "rotate", "--now")
    assert done.exit_code == 0, done.output
    after = dict(rows("SELECT state, kid FROM signing_key"))
    assert (after["retired"], after["current"]) == (before["current"], before["next"])
    assert all(kid in done.output for kid in after.values())


def test_keys_rotate_of_another_algorithm(kumiai: Callable[..., Result], rows: Rows) -> None:
    assert kumiai("keys", "rotate", "--alg", "PS256", "--now").exit_code == 0
    assert len(rows("SELECT FROM signing_key WHERE alg = 'PS256'")) == 3
    assert kumiai("keys", "rotate", "--alg", "RS256").exit_code == 2


@pytest.mark.parametrize("command", [("keys", "rotate", "--now"), ("keys", "list")])
def test_another_sealing_key_is_named_and_changes_nothing(
    kumiai: Callable[..., Result], published: Callable[[], dict[str, Any]], rows: Rows, command: tuple[str, ...]
) -> None:
    published()
    stored = rows("SELECT kid, state FROM signing_key ORDER BY kid")

    answer = kumiai(*command, sealing_key=b"x" * 32)

    assert answer.exit_code == 1
    assert "KUMIAI_SEALING_KEY" in answer.output
    assert isinstance(answer.exception, SystemExit)
    assert rows("SELECT kid, state FROM signing_key ORDER BY kid") == stored


def test_a_key_of_the_release_before_signs_on_after_the_migration(
    app: Flask,
    fresh_database: str,
    sealing_key: bytes,
    published: Callable[[], dict[str, Any]],
    rotate: Callable[..., keys.Rotation],
) -> None:
    with app.app_context():
        before = keys.current_key(sealing_key=sealing_key).kid
    rotate(alg="PS256")  # what the release before could not hold
    alembic = (sys.executable, "-m", "alembic", "-c", "setup.cfg")
    for step in (("downgrade", "0005"), ("upgrade", "head")):
        subprocess.run(
            [*alembic, *step],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": fresh_database},
            check=True,
            capture_output=True,
        )
        app.extensions.pop("kumiai.signing_keys", None)

    with app.app_context():
        assert keys.current_key(sealing_key=sealing_key).kid == before
    assert before in kids(published())
    assert rotate().retired == before
