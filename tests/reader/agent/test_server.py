"""The till's account on the server: one token for many taps, renewed when it ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.db import transaction
from app.demo.demo_card import fcf_blocks
from app.errors import DomainError
from app.reader import errors as reader_errors
from app.reader.agent.server import DECIDED, Accepted, NotAuthorised, Refused, Server, ServerAway, Unknown
from app.reader.agent.source import ReadCard
from app.reader.agent.spool import Tap
from app.wallet.errors import STATUS_OF
from tests.live import Live
from tests.reader.agent.line import Line, line
from tests.reader.stand import Stand


@pytest.fixture
def between(live_server: Live) -> Iterator[Line]:
    with line(live_server.url) as running:
        yield running


def account(url: str, stand: Stand) -> Server:
    return Server(url=url, client_id=stand.client_id, client_secret=stand.client_secret, lang="en")


def new_tap(stand: Stand, amount_yen: int = 100) -> Tap:
    blocks = {str(number): fcf_blocks()[number].hex() for number in (0, 2, 3)}
    return Tap(
        tap_id=secrets.token_hex(8),
        amount_yen=amount_yen,
        money=stand.holder.money,
        card=ReadCard(idm=stand.idm, blocks=blocks),
        taken_at="2026-11-23T03:34:56.123+00:00",
    )


def stop(live_server: Live, statement: str, stand: Stand) -> None:
    with live_server.app.app_context(), transaction() as session:
        session.execute(text(statement), {"client_id": stand.client_id})


def test_one_token_serves_many_taps(live_stand: Stand, between: Line) -> None:
    with account(between.url, live_stand) as server:
        for _ in range(3):
            assert isinstance(server.send(new_tap(live_stand)), Accepted)
    assert (len(between.taps), between.others) == (3, 1)


def test_a_token_that_ends_early_is_renewed(live_server: Live, live_stand: Stand, between: Line) -> None:
    with account(between.url, live_stand) as server:
        server.sign_in()
        stop(live_server, "UPDATE oauth_token SET revoked_at = now() WHERE client_id = :client_id", live_stand)
        assert isinstance(server.send(new_tap(live_stand)), Accepted)
    assert (len(between.taps), between.others) == (2, 2)


def test_an_answer_asked_for_twice_is_the_same(live_server: Live, live_stand: Stand) -> None:
    with account(live_server.url, live_stand) as server:
        tap = new_tap(live_stand, 380)
        first = server.send(tap)
        assert isinstance(first, Accepted)
        assert (first.amount_yen, first.balance_yen) == (380, 1_620)
        assert server.send(tap) == first


def test_a_refusal_speaks_the_tills_language(live_server: Live, live_stand: Stand) -> None:
    with account(live_server.url, live_stand) as server:
        answer = server.send(new_tap(live_stand, 2_999))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.balance_yen) == ("insufficient_balance", 2_000)
    assert answer.title.isascii()


NOT_ABOUT_A_TAP = {
    "already_refunded",
    "not_refundable",
    # at registration, and of PINs
    *("card_taken", "card_unreadable", "card_profile_unknown", "registration_code_unusable"),
    *("pin_wrong_form", "pin_guessable"),
    "void_too_late",
    "request_id_conflict",  # another tap of this name was decided, and who knows how
    "request_in_progress",
    "temporarily_unavailable",
    "outcome_unknown",
    # of refunds, holds, moves, items, codes, the office and the worker
    *("refund_exceeds_payment", "same_account", "move_not_allowed", "wallet_ceiling_exceeded"),
    *("hold_unknown", "hold_expired", "hold_not_expired", "hold_already_captured", "hold_released"),
    *("capture_exceeds_hold", "code_unknown", "code_used", "code_cancelled", "code_expired"),
    *("already_expired", "nothing_expired", "wallet_awaits_charges", "wallet_has_holds", "payout_quota_exceeded"),
    *("proof_not_ready", "record_changed"),
}


def test_the_till_knows_every_refusal_that_the_server_decides_on_a_tap() -> None:
    """A new code of the server must be put on one side or the other: nothing moved, or nobody knows."""
    kinds = [kind for kind in vars(reader_errors).values() if isinstance(kind, type) and kind is not DomainError]
    status_of = {**STATUS_OF, **{kind.code: kind.status for kind in kinds}}
    assert status_of.keys() == DECIDED | NOT_ABOUT_A_TAP
    assert not DECIDED & NOT_ABOUT_A_TAP
    assert all(400 <= status_of[code] < 500 for code in DECIDED)


def test_what_the_server_does_not_understand_is_not_decided(live_server: Live, live_stand: Stand) -> None:
    tap = new_tap(live_stand)
    with account(live_server.url, live_stand) as server:
        answer = server.send(replace(tap, card=ReadCard(idm="no number", blocks=tap.card.blocks)))
    assert answer == Unknown(why="status 422, invalid_fields")


def test_a_revoked_client_is_not_authorised(live_server: Live, live_stand: Stand) -> None:
    with account(live_server.url, live_stand) as server:
        server.sign_in()
        stop(live_server, "UPDATE oauth_client SET status = 'revoked' WHERE id = :client_id", live_stand)
        with pytest.raises(NotAuthorised):
            server.send(new_tap(live_stand))


def test_a_client_that_is_no_till_is_not_authorised(live_server: Live, live_stand: Stand) -> None:
    stop(live_server, "UPDATE oauth_client SET scopes = '{}' WHERE id = :client_id", live_stand)
    with account(live_server.url, live_stand) as server, pytest.raises(NotAuthorised):
        server.sign_in()


def test_some_other_server_is_no_server(live_server: Live, live_stand: Stand) -> None:
    with account(live_server.settings.mypage_url, live_stand) as server, pytest.raises(ServerAway):
        server.sign_in()
