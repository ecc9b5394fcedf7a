"""Text in the cells of CSV files, which spreadsheets take for more than text."""

from __future__ import annotations

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_safe(text: str) -> str:
    """`text` with a quote before it where a spreadsheet would calculate or run it as a formula.

    As OWASP recommends against CSV injection. A file name such as `=cmd|x.png` is nobody's formula.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
