"""Text as the banks' files can hold it: JIS X 0201, one byte a character, half-width kana.

Source: 全国銀行協会「全銀協パーソナル・コンピュータ用標準通信プロトコル（ベーシック手順）適用業務および
レコード・フォーマット」(2019-12), 付録1 使用文字一覧; where banks differ, the narrower set that all of them take: kana
without ヲ and without the small ones, A–Z, 0–9, the marks of voicing, and ( ) - . and the space.
"""

from __future__ import annotations

import unicodedata

from app.wallet.settlement.errors import BankTextTooLong, UnwritableKana

ALLOWED = frozenset("ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝﾞﾟABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789()-. ")

_FULL = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
_HALF = "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜﾝ"
_SMALL = str.maketrans("ァィゥェォッャュョヮヵヶヲヰヱ", "アイウエオツヤユヨワカケオイエ")
_TO_HALF = str.maketrans(_FULL + "\u3099\u309a\u309b\u309c", _HALF + "ﾞﾟﾞﾟ")
_MARKS = str.maketrans(dict.fromkeys("ー‐‑‒–—―−", "-") | {"・": "."})
_HIRAGANA_TO_KATAKANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}


def half_width(text: str, *, field: str, max_characters: int) -> str:
    """The text in the characters of a bank's file: ガッコウ生協 is refused, がっこうセイキョウ becomes ｶﾞﾂｺｳｾｲｷﾖｳ.

    Small kana become large, ヲ ヰ ヱ become オ イ エ, a long vowel's mark a hyphen, small letters capitals.
    Raises UnwritableKana with the first character that has no such form, BankTextTooLong; both name `field`.
    """
    given = unicodedata.normalize("NFKC", text).translate(_HIRAGANA_TO_KATAKANA)
    large = unicodedata.normalize("NFC", given).translate(_SMALL)
    written = unicodedata.normalize("NFD", large).upper().translate(_MARKS).translate(_TO_HALF).strip()
    for character in written:
        if character not in ALLOWED:
            raise UnwritableKana(field=field, character=_shown(character))
    if not written:
        raise UnwritableKana(field=field, character="")
    if len(written) > max_characters:
        raise BankTextTooLong(field=field, max=max_characters)
    return written


def _shown(character: str) -> str:
    return unicodedata.normalize("NFC", character) if character.isprintable() else f"U+{ord(character):04X}"
