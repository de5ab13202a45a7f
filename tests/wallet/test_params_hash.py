"""The fingerprint of a request is for ever: requests of years ago must be known for the same."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from app.wallet.ledger import params_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))


@given(st.dictionaries(TEXT, VALUES))
def test_it_is_that_of_the_sorted_json_without_spaces(params: dict[str, object]) -> None:
    canonical = json.dumps(params, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    assert params_hash(params) == hashlib.sha256(canonical.encode()).digest()


def test_it_never_changes() -> None:
    asked = {"path": "/v1/payments", "member": "m", "body": {"amount_yen": 450, "description": "昼食 \u2028\x7f"}}
    assert params_hash(asked).hex() == "2b58308cb885c62b985d88200a288d8c8ebfcc6614379e44046ff8c57f2c331c"
