"""Yen as people read it. Amounts are integers everywhere; names end in `_yen`."""

MAX_AMOUNT_YEN = 9_999_999
"""The largest amount of one transfer. A typing mistake is likelier than a lunch of ten million yen."""

MAX_SUM_YEN = 99_999_999
"""The largest ceiling for a day or a month of payments."""


def format_yen(amount_yen: int) -> str:
    """¥1,234; a negative amount as -¥1,234."""
    sign = "-" if amount_yen < 0 else ""
    return f"{sign}¥{abs(amount_yen):,}"
