"""Tables and progress: rich on a terminal, plain tab-separated text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import printable
from .output import is_quiet, note_text, prints_to_stderr, shows_text

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

_shown: list[Progress] = []
"""Bars on the screen."""

GAP = 2
"""Spaces between the columns of a table on a terminal."""
NARROWEST_TEXT = 12
"""Characters that are left of a column of texts where a terminal is narrow."""


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with a header; on a terminal columns of numbers are aligned to the right, and texts folded if need be."""
    header, *lines = ([printable(cell) for cell in row] for row in (header, *rows))
    if not shows_text():
        note_text("table", [dict(zip(header, line, strict=True)) for line in lines])
        return
    if prints_to_stderr() or not sys.stdout.isatty():
        for line in (header, *lines):
            click.echo("\t".join(line), err=prints_to_stderr())
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = list(zip(header, *lines, strict=True))
    natural = sum(max(map(len, column)) + GAP for column in columns) - GAP
    least = -GAP
    for name, *cells in columns:
        numeric = all(cell[:1].isdigit() or cell in ("", "-") for cell in cells)
        # A number that is folded reads as two: in a narrow terminal headers and texts give way.
        width = max(map(len, (*name.split(), *cells))) if numeric and natural > console.width else None
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", width=width)
        least += (width or min(NARROWEST_TEXT, max(map(len, (name, *cells))))) + GAP
    for line in lines:
        table.add_row(*map(escape, line))
    # What is wider even so the terminal breaks.
    Console(width=max(console.width, least)).print(table)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    shown = [(printable(name), printable(value)) for name, value in fields]
    if not shows_text():
        note_text("fields", dict(shown))
        return
    width = max((len(name) for name, _ in shown), default=0) + 2
    styled = sys.stdout.isatty() and not prints_to_stderr()
    for name, value in shown:
        label = click.style(name.ljust(width), bold=True) if styled else name.ljust(width)
        click.echo(f"{label}{value}", err=prints_to_stderr())


def print_line(text: str = "") -> None:
    """A line by itself, or an empty one between what is printed."""
    if shows_text():
        click.echo(text, err=prints_to_stderr())


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a progress bar on stderr where that is a terminal; `total` where they have no length.

    A bar within another one's items is shown below it as long as it goes on.
    """
    if _shown:
        # Before stderr is asked: while a bar is shown older versions of rich put something there that is no terminal.
        yield from _below(_shown[-1], items, description, total)
        return
    if is_quiet() or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        _shown.append(bars)
        try:
            yield from bars.track(items, total=total, description=description)
        finally:
            _shown.remove(bars)


def _below(bars: Progress, items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    task = bars.add_task(description, total=total)
    try:
        yield from bars.track(items, total=total, task_id=task, description=description)
    finally:
        bars.remove_task(task)


def step_text(step: Mapping[str, Any]) -> str:
    """A preprocessing step with its parameters: "resize height 32 width 32"."""
    return " ".join([str(step["name"]), *(f"{key} {_plain(value)}" for key, value in step.items() if key != "name")])


def _plain(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
