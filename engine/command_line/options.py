"""Options that several commands have, and groups of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), metavar="N", help="Worker threads.  [default: all processors]"
)


def grouped(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, which the help shows in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
