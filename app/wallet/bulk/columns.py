"""What the columns of a file may be called, in English or Japanese, and what stands for a kind."""

from __future__ import annotations

import unicodedata

FIELDS = ("member", "money", "amount_yen", "kind", "expires_on", "description", "reference")
REQUIRED = ("member", "money", "amount_yen", "kind")

_NAMES = {
    "member": ("member", "member_id", "sub", "email", "会員", "会員メール", "会員id", "組合員", "メールアドレス"),
    "money": ("money", "マネー", "マネーコード"),
    "amount_yen": ("amount_yen", "amount", "金額", "金額(円)"),
    "kind": ("kind", "種別"),
    "expires_on": ("expires_on", "有効期限"),
    "description": ("description", "摘要"),
    "reference": ("reference", "整理番号"),
}
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}

_KINDS = {
    "grant": "grant",
    "付与": "grant",
    "correction": "correction",
    "訂正": "correction",
    "take_back": "take_back",
    "取消": "take_back",
    "取り消し": "take_back",
}


def plain(text: str) -> str:
    """A name as it is compared: full-width and half-width alike, lower case, one word."""
    return "_".join(unicodedata.normalize("NFKC", text).lower().split())


def field_of(name: str) -> str | None:
    """Which field a column of this name holds; None where no column is called so."""
    return _FIELD_OF.get(plain(name))


def kind_of(word: str) -> str | None:
    """The kind that a word stands for, or None."""
    return _KINDS.get(plain(word))
