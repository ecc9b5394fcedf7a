"""Options that several commands have, and groups of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..pictures.ranges import SampleRange, check_sample_range

Command = TypeVar("Command", bound=Callable[..., Any])

threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), metavar="N", help="Worker threads.  [default: all processors]"
)


def _named_range(_context: click.Context, _option: click.Parameter, value: str | None) -> SampleRange | None:
    """LOW:HIGH as two numbers, the lower one first."""
    if value is None:
        return None
    try:
        return check_sample_range([float(part) for part in value.split(":")])
    except ValueError:
        reason = f"{value!r} is not LOW:HIGH, the samples of black and of white, such as 0:4095"
        raise click.BadParameter(reason) from None


range_option = click.option(
    "--range",
    "sample_range",
    metavar="LOW:HIGH",
    callback=_named_range,
    help="Samples of black and white.  [default: what the file says, or those of its sample type]",
)


def grouped(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, which the help shows in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
