"""Which tokens are bound to a DPoP key, and how they are refreshed (RFC 9449 sections 5 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import clock
from app.oauth import dpop, tokens
from app.oauth.errors import InvalidDpopProof
from app.oauth.request import from_body
from tests import factories
from tests.oauth.conftest import VERIFIER, Member, ThirdParty, sent_back
from tests.oauth.keyholder import SCOPES, USERINFO, Keyholder, Signer, at_token, caller, error, invalid_token
from tests.oauth.test_races import THREADS, at_once, statuses

OTHER = Signer.new()


@pytest.fixture
def key() -> Signer:
    """The DPoP key of the app."""
    return Signer.new()


@pytest.fixture
def spa(new_third_party: Callable[..., ThirdParty]) -> Keyholder:
    return Keyholder(new_third_party(profile="spa"))


class TestPublicClient:
    """Nothing but the key tells whose its refresh token is."""

    @pytest.fixture
    def token(self, spa: Keyholder, member: Member, key: Signer) -> str:
        answer = spa.redeem(spa.party.code(member, **SCOPES), proof=key.proof()).get_json()
        return str(answer["refresh_token"])

    def test_its_refresh_token_is_bound_and_rotates(self, spa: Keyholder, token: str, key: Signer) -> None:
        first = spa.refresh(token, proof=key.proof()).get_json()
        again = spa.refresh(token, proof=key.proof()).get_json()

        assert first["token_type"] == again["token_type"] == "DPoP"
        assert first["refresh_token"] == again["refresh_token"] != token
        access = first["access_token"]
        assert access == again["access_token"]
        assert spa.call(access, proof=key.proof(USERINFO, method="GET", token=access)).status_code == 200
        assert spa.refresh(first["refresh_token"], proof=key.proof()).status_code == 200

    def test_without_the_key_it_is_good_for_nothing(
        self, spa: Keyholder, token: str, key: Signer, living: Callable[[str], int]
    ) -> None:
        at_token(spa.refresh(token), "DPoP")
        assert error(spa.refresh(token, proof=OTHER.proof())) == "invalid_grant"

        second = spa.refresh(token, proof=key.proof()).get_json()["refresh_token"]
        third = spa.refresh(second, proof=key.proof()).get_json()["refresh_token"]
        before = living(spa.party.id)
        assert error(spa.refresh(token, proof=OTHER.proof())) == "invalid_grant"
        at_token(spa.refresh(token), "DPoP")
        assert living(spa.party.id) == before, "nor for ending what the owner of the key has"
        assert spa.refresh(third, proof=key.proof()).status_code == 200

    def test_used_twice_by_its_key_it_revokes_the_family(
        self, spa: Keyholder, token: str, key: Signer, living: Callable[[str], int]
    ) -> None:
        second = spa.refresh(token, proof=key.proof()).get_json()["refresh_token"]
        assert spa.refresh(second, proof=key.proof()).status_code == 200

        assert error(spa.refresh(token, proof=key.proof())) == "invalid_grant"
        assert living(spa.party.id) == 0

    def test_a_family_once_bound_stays_bound(self, spa: Keyholder, member: Member, key: Signer) -> None:
        unbound = spa.redeem(spa.party.code(member, prompt="consent", **SCOPES)).get_json()["refresh_token"]
        as_bearer = spa.refresh(unbound).get_json()
        bound = spa.refresh(as_bearer["refresh_token"], proof=key.proof()).get_json()

        assert (as_bearer["token_type"], bound["token_type"]) == ("Bearer", "DPoP")
        at_token(spa.refresh(bound["refresh_token"]), "DPoP")
        assert error(spa.refresh(bound["refresh_token"], proof=OTHER.proof())) == "invalid_grant"
        assert spa.refresh(bound["refresh_token"], proof=key.proof()).status_code == 200

    def test_in_its_grace_a_token_answers_for_the_key_that_asks(
        self, spa: Keyholder, member: Member, key: Signer
    ) -> None:
        unbound = spa.redeem(spa.party.code(member, prompt="consent", **SCOPES)).get_json()["refresh_token"]
        bearer, bound = spa.refresh(unbound).get_json(), spa.refresh(unbound, proof=key.proof()).get_json()

        assert bearer["refresh_token"] == bound["refresh_token"]
        assert bearer["access_token"] != bound["access_token"]
        assert spa.call(bearer["access_token"], scheme="Bearer").status_code == 200
        invalid_token(spa.call(bound["access_token"], scheme="Bearer"), "DPoP")


@pytest.mark.usefixtures("still_clock")
def test_proofs_that_anybody_can_make_are_counted_before_they_leave_a_row(
    new_third_party: Callable[..., ThirdParty], monkeypatch: pytest.MonkeyPatch, rows: Callable[..., list[Any]]
) -> None:
    monkeypatch.setattr(dpop, "BY_PUBLIC_NETWORK", 2)
    key, stranger = Signer.new(), caller(new_third_party().app)

    def guess(party: ThirdParty) -> TestResponse:
        form = {"grant_type": "authorization_code", "client_id": party.id, "code": "kac_x", "code_verifier": VERIFIER}
        form |= {"redirect_uri": party.redirect_uri} | ({"client_secret": party.secret} if party.secret else {})
        return stranger.post("/oauth/token", data=form, headers={"DPoP": key.proof()})

    count = "SELECT count(*) FROM oauth_proof_seen"
    ((before,),) = rows(count)
    apps = [new_third_party(profile=profile) for profile in ("spa", "native", "spa")]
    answers = [guess(party) for party in apps]

    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert int(answers[2].headers["Retry-After"]) > 0
    assert rows(count) == [(before + 2,)]
    assert guess(new_third_party()).status_code == 400, "a client with a secret is counted by its failures"


class TestConfidentialClient:
    """It proves who it is anyway: it may change its key, and its refresh token is not rotated (FAPI 2.0, 5.3.2.1)."""

    @pytest.fixture(params=["secret", "keys"])
    def client(self, request: pytest.FixtureRequest, new_third_party: Callable[..., ThirdParty]) -> Keyholder:
        if request.param == "secret":
            return Keyholder(new_third_party())
        signer = Signer.new()
        return Keyholder(new_third_party(jwks=signer.jwks), signer)

    @pytest.fixture
    def token(self, client: Keyholder, member: Member, key: Signer) -> str:
        answer = client.redeem(client.party.code(member, **SCOPES), proof=key.proof()).get_json()
        return str(answer["refresh_token"])

    def test_its_bound_refresh_token_stays(
        self, client: Keyholder, token: str, key: Signer, rows: Callable[..., list[Any]]
    ) -> None:
        rows("UPDATE oauth_token SET expires_at = now() + interval '1 h' WHERE client_id = :id", id=client.party.id)
        answers = [client.refresh(token, proof=key.proof()).get_json() for _ in range(3)]

        assert {answer["refresh_token"] for answer in answers} == {token}
        assert {answer["token_type"] for answer in answers} == {"DPoP"}
        access = [answer["access_token"] for answer in answers]
        assert len(set(access)) == 3
        for one in access:
            assert client.call(one, proof=key.proof(USERINFO, method="GET", token=one)).status_code == 200
        left = rows("SELECT expires_at FROM oauth_token WHERE client_id = :id AND kind = 'refresh'", id=client.party.id)
        assert len(left) == 1
        assert left[0][0] > clock.now() + tokens.REFRESH_LIFE - timedelta(minutes=5), "use keeps it alive"

    def test_it_may_change_its_key_but_not_go_without(self, client: Keyholder, token: str, key: Signer) -> None:
        at_token(client.refresh(token), "DPoP")

        answer = client.refresh(token, proof=OTHER.proof()).get_json()
        access = answer["access_token"]
        assert client.call(access, proof=OTHER.proof(USERINFO, method="GET", token=access)).status_code == 200
        invalid_token(client.call(access, proof=key.proof(USERINFO, method="GET", token=access)), "DPoP")
        at_token(client.refresh(answer["refresh_token"]), "DPoP")

    def test_less_may_be_asked_for(self, client: Keyholder, member: Member, key: Signer) -> None:
        code = client.party.code(member, scope="openid balance offline_access", ticked=["balance"], prompt="consent")
        token = client.redeem(code, proof=key.proof()).get_json()["refresh_token"]

        narrow = client.refresh(token, proof=key.proof(), scope="openid").get_json()
        assert (narrow["scope"], narrow["refresh_token"]) == ("openid", token)
        assert "balance" in client.refresh(token, proof=key.proof()).get_json()["scope"]

    def test_twenty_at_once_are_all_answered(self, client: Keyholder, token: str, key: Signer) -> None:
        answers = at_once(lambda _: client.refresh(token, proof=key.proof()))

        assert statuses(answers) == {200: THREADS}
        assert {answer.get_json()["refresh_token"] for answer in answers} == {token}

    def test_revoking_the_token_ends_the_family(
        self, client: Keyholder, token: str, key: Signer, living: Callable[[str], int]
    ) -> None:
        client.refresh(token, proof=key.proof())
        assert client.post(path="/oauth/revoke", token=token).status_code == 200  # no proof is needed for that

        assert living(client.party.id) == 0
        assert error(client.refresh(token, proof=key.proof())) == "invalid_grant"

    def test_an_unbound_token_rotates(self, client: Keyholder, member: Member) -> None:
        token = client.redeem(client.party.code(member, **SCOPES)).get_json()["refresh_token"]

        assert client.refresh(token).get_json()["refresh_token"] != token

    def test_a_replayed_code_still_revokes_what_came_of_it(
        self, client: Keyholder, member: Member, key: Signer, living: Callable[[str], int]
    ) -> None:
        code = client.party.code(member, prompt="consent", **SCOPES)
        token = client.redeem(code, proof=key.proof()).get_json()["refresh_token"]
        client.refresh(token, proof=key.proof())

        assert error(client.redeem(code, proof=key.proof())) == "invalid_grant"
        assert living(client.party.id) == 0


class TestCodeBoundToAKey:
    """`dpop_jkt` (RFC 9449 section 10)."""

    def test_its_key_redeems_it(self, spa: Keyholder, member: Member, key: Signer) -> None:
        code = spa.party.code(member, dpop_jkt=key.jkt, **SCOPES)

        assert spa.redeem(code, proof=key.proof()).get_json()["token_type"] == "DPoP"

    @pytest.mark.parametrize("with_a_proof", [True, False])
    def test_no_other_key_does_and_the_attempt_spends_it(
        self, spa: Keyholder, member: Member, key: Signer, with_a_proof: bool
    ) -> None:
        code = spa.party.code(member, dpop_jkt=key.jkt, **SCOPES)

        assert error(spa.redeem(code, proof=OTHER.proof() if with_a_proof else None)) == "invalid_grant"
        assert error(spa.redeem(code, proof=key.proof())) == "invalid_grant"

    @pytest.mark.parametrize("jkt", ["", "short", "=" * 43, "x" * 44, "あ" * 43])
    def test_it_must_be_a_thumbprint(self, spa: Keyholder, member: Member, jkt: str) -> None:
        back = sent_back(member.browser.get(spa.party.address(dpop_jkt=jkt)))

        assert (back["error"], back["state"]) == ("invalid_request", "st4te")
        assert "dpop_jkt" in back["error_description"]

    def test_a_pushed_request_names_it_or_proves_it(self, app: Flask, key: Signer) -> None:
        """What the endpoint for pushed requests asks (RFC 9449 section 10.1)."""

        def asked(proof: str | None, **form: str) -> str | None:
            headers = {} if proof is None else {"DPoP": proof}
            with app.test_request_context("/oauth/token", method="POST", data={"a": "b", **form}, headers=headers):
                return dpop.key_for_code(from_body())

        assert asked(None) is None
        assert asked(None, dpop_jkt=key.jkt) == key.jkt
        assert asked(key.proof()) == key.jkt
        assert asked(key.proof(), dpop_jkt=key.jkt) == key.jkt
        with pytest.raises(InvalidDpopProof) as refusal:
            asked(key.proof(), dpop_jkt=OTHER.jkt)
        assert refusal.value.detail == {"parameter": "dpop_jkt"}


class TestProfileThatMust:
    """A fapi2 client has bound tokens only."""

    @pytest.fixture
    def fapi(self, new_third_party: Callable[..., ThirdParty]) -> Keyholder:
        signer = Signer.new("PS256")
        return Keyholder(new_third_party(profile="fapi2", jwks=signer.jwks), signer)

    def test_without_a_proof_it_gets_none(self, app: Flask, fapi: Keyholder, member: Member, key: Signer) -> None:
        with app.app_context():
            code = factories.authorization_code(
                member_id=member.id, client_id=fapi.party.id, redirect_uri=fapi.party.redirect_uri
            )
        at_token(fapi.redeem(code), "DPoP")

        answer = fapi.redeem(code, proof=key.proof()).get_json()
        assert answer["token_type"] == "DPoP", "the code was not spent by the attempt"
        at_token(fapi.refresh(answer["refresh_token"]), "DPoP")
        assert fapi.refresh(answer["refresh_token"], proof=key.proof()).get_json()["token_type"] == "DPoP"

    def test_who_it_is_comes_first(self, app: Flask, fapi: Keyholder) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": fapi.party.id}

        assert caller(app).post("/oauth/token", data=form).get_json()["error"] == "invalid_client"
