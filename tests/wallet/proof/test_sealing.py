"""Committed transactions become blocks, in order and once; a day that is over is signed."""

from __future__ import annotations
import pytest
from flask import Flask

from app.wallet import ledger
from tests import factories
from tests.wallet.postings import payment
from tests.wallet.proof.books import age, look, rows
from tests.wallet.proof.conftest import Yesterday

pytestmark = pytest.mark.ledger
BLOCKS = "SELECT number, first_position, last_position FROM proof_block ORDER BY number"


def test_yesterday_is_sealed_and_signed(yesterday: Yesterday) -> None:
    assert rows(yesterday.app, BLOCKS) == [(1, 1, 6)]
    ((day, first, last),) = rows(yesterday.app, "SELECT day, first_block, last_block FROM proof_day")
    assert (first, last) == (1, 1)
