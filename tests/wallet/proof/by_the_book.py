"""A second check of a proof file, written from docs/proof.md alone. It shares no line with the first."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils


def b64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def jcs(value: Any) -> bytes:
    if isinstance(value, dict):
        inner = (jcs(k) + b":" + jcs(value[k]) for k in sorted(value, key=lambda k: k.encode("utf-16-be")))
        return b"{" + b",".join(inner) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(jcs, value)) + b"]"
    assert value is None or type(value) in (str, int, bool)
    return json.dumps(value, ensure_ascii=False).encode()


def climb(h: bytes, index: int, size: int, path: list[str]) -> str:
    """RFC 9162 section 2.1.3.2, in its own variables."""
    assert 0 <= index < size and isinstance(path, list)
    fn, sn, r = index, size - 1, h
    for p in map(bytes.fromhex, path):
        assert sn != 0
        if fn & 1 or fn == sn:
            r = sha(b"\x01", p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\x01", r, p)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return r.hex()


def check(proof: dict[str, Any]) -> None:
    """Raises where the file does not prove its transaction."""
    assert proof["format"] == "kumiai-proof-1"
    # 1 the signature
    head, body, signature = proof["day"]["statement"].split(".")
    key = proof["key"]
    kid = sha(jcs({name: key[name] for name in ("kty", "crv", "x", "y")}))
    assert json.loads(b64(head)) == {
        "typ": "kumiai-day+jwt",
        "alg": "ES256",
        "kid": base64.urlsafe_b64encode(kid).decode().rstrip("="),
    }
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(b64(key["x"])), int.from_bytes(b64(key["y"])), ec.SECP256R1()
    )
    raw = b64(signature)
    assert len(raw) == 64
    der = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    try:
        numbers.public_key().verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    except Exception as error:
        raise ValueError("signature") from error
    day = json.loads(b64(body))
    # 2 the block is in the day
    block = proof["block"]["header"]
    assert (block["issuer_id"], block["day"]) == (day["issuer_id"], day["day"])
    assert day["first_position"] <= block["first_position"] <= block["last_position"] <= day["last_position"]
    size = day["last_block"] - day["first_block"] + 1
    assert (
        climb(sha(b"\x00", jcs(block)), block["number"] - day["first_block"], size, proof["day"]["path"]) == day["root"]
    )
    # 3 the transaction is in the block
    digests = []
    for name in ("receipt", "details", "books"):
        part = proof["transaction"][name]
        if "content" in part:
            assert len(part["nonce"]) == 64
            digests.append(sha(b"\x02", bytes.fromhex(part["nonce"]), jcs(part["content"])))
        else:
            assert len(part["digest"]) == 64
            digests.append(bytes.fromhex(part["digest"]))
    receipt = proof["transaction"]["receipt"]["content"]
    assert receipt["issuer_id"] == block["issuer_id"]
    index = receipt["position"] - block["first_position"]
    size = block["last_position"] - block["first_position"] + 1
    assert climb(sha(b"\x00", *digests), index, size, proof["block"]["path"]) == block["root"]
