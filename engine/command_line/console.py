"""Tables and progress: rich on a terminal, plain tab-separated text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import click

from ..errors import printable

Item = TypeVar("Item")


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with a header; columns of numbers are aligned to the right on a terminal."""
    header, *lines = ([printable(cell) for cell in row] for row in (header, *rows))
    if not sys.stdout.isatty():
        for line in (header, *lines):
            click.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, name in enumerate(header):
        numeric = all(line[column][:1].isdigit() or line[column] in ("", "-") for line in lines)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    Console().print(table)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    shown = [(printable(name), printable(value)) for name, value in fields]
    width = max((len(name) for name, _ in shown), default=0) + 2
    styled = sys.stdout.isatty()
    for name, value in shown:
        label = click.style(name.ljust(width), bold=True) if styled else name.ljust(width)
        click.echo(f"{label}{value}")


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a progress bar on stderr where that is a terminal; `total` where they have no length."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description, total=total, console=Console(stderr=True), transient=True)


def quantity(value: float, unit: str = "") -> str:
    """`value` with three significant digits and an SI prefix: 13.5 G, 820 k, 1.25 m."""
    if not value:
        return f"0 {unit}".strip()
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}".strip()
    return f"{value:.3g} {unit}".strip()
