"""Code 128 (ISO/IEC 15417) for numbers, as SVG."""

from __future__ import annotations

_TABLE = (
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 "
    "113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 "
    "212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131 "
    "113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 "
    "314111 221411 431111 111224 111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 "
    "241211 221114 413111 241112 134111 111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 "
    "214121 412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 211412 211214 "
    "211232 2331112"
)
_WIDTHS = tuple(_TABLE.split())
"""Of each symbol: bar, space, bar, … in modules. The last is the stop."""
_START_C, _CODE_B, _STOP = 105, 100, 106
_DIGIT_0_IN_B = 16
_QUIET = 10


def symbols(digits: str) -> list[int]:
    """The values of the symbols with start, check and stop. Pairs of digits in set C, an odd last one in set B."""
    pairs = [int(digits[at : at + 2]) for at in range(0, len(digits) - 1, 2)]
    last = [_CODE_B, _DIGIT_0_IN_B + int(digits[-1])] if len(digits) % 2 else []
    values = [_START_C, *pairs, *last]
    check = (_START_C + sum(place * value for place, value in enumerate(values[1:], start=1))) % 103
    return [*values, check, _STOP]


def code_128(digits: str) -> str:
    """An SVG picture of the barcode, with the quiet zones on both sides."""
    bars, at = [], _QUIET
    for value in symbols(digits):
        for place, width in enumerate(map(int, _WIDTHS[value])):
            if place % 2 == 0:
                bars.append(f"M{at} 0h{width}v60h-{width}z")
            at += width
    size = f"0 0 {at + _QUIET} 60"
    picture = f'viewBox="{size}" preserveAspectRatio="none" aria-hidden="true"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {picture}><path d="{"".join(bars)}"/></svg>'
