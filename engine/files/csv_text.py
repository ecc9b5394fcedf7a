"""Comma-separated values that a spreadsheet takes for what they are: no text in them becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import printable

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """A header and a line for each record, which end in a line feed.

    Parameters
    ----------
    columns : sequence of str
        Keys of the records; other keys are left out.
    records : iterable of mappings
        None and a missing key are empty cells; text is made safe by `csv_cell`.

    Returns
    -------
    str
        Can be encoded as UTF-8, whatever bytes there were in a file's name.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(record.get(name)) for name in columns] for record in records)
    return stream.getvalue()


def csv_cell(value: Any) -> Any:
    """A value as it goes into a cell: text is escaped as `printable` does it, and no formula."""
    if value is None:
        return ""
    return spreadsheet_safe(printable(value)) if isinstance(value, str) else value


def spreadsheet_safe(text: str) -> str:
    """`text` with a quotation mark before it where a spreadsheet would take it for a formula (OWASP, CSV Injection).

    That is where it begins with one of = + - @, a tab or a carriage return, perhaps after spaces, and is no number.
    """
    formula = text.lstrip(" ").startswith(_FORMULA_STARTS) and not _is_number(text)
    return f"'{text}" if formula else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
