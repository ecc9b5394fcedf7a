"""Small tables in HTML, as notebooks show objects: escaped, without scripts, links or styles from anywhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

MOST_ROWS = 60
"""Rows that are shown of a table; a line says how many more there are."""

MOST_CHARACTERS = 200
"""Characters that are shown of a cell."""


def html_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table below its title; numbers are aligned to the right, and whatever is long is cut and says so."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows[:MOST_ROWS])
    left = len(rows) - MOST_ROWS
    more = f'<tr><td colspan="{len(header)}">and {left} more</td></tr>' if left > 0 else ""
    return (
        f"<div><p><strong>{_escaped(title)}</strong></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{_escaped(str(value))}</td>"
    return f'<td style="text-align:right">{_escaped(f"{value:,}" if isinstance(value, int) else f"{value:.4g}")}</td>'


def _escaped(text: str) -> str:
    return html.escape(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}\u2026")
