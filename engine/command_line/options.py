"""Options that several commands have, and groups of options."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import InputError
from ..pictures.ranges import SampleRange, check_sample_range
from .pipes import PIPE

Command = TypeVar("Command", bound=Callable[..., Any])


class FilePath(click.Path):
    """A path that is not empty: an empty one would be taken for the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's; a usage error where there is no name."""
        if not os.fspath(value):
            self.fail("the name is empty, which is no file and no folder; a dot is the current folder", param, ctx)
        return super().convert(value, param, ctx)


class InputPath(FilePath):
    """A path, or the text "-" for stdin, which a file of that name is told from as ./-."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As of other paths."""
        return value if value == PIPE else super().convert(value, param, ctx)


INPUT: InputPath = InputPath(path_type=Path)
"""A picture file or a folder as a Path, or "-" as text."""

FILE: FilePath = FilePath(path_type=Path)
"""A file or folder as a Path."""

FILE_NAME: FilePath = FilePath()
"""A file or folder as it was typed, so that a final slash can say that it is a folder."""

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
        reason = f"{value!r} is not LOW:HIGH, the samples of black and of white, such as 0:4095, the lower one first"
        raise click.BadParameter(reason) from None


range_option = click.option(
    "--range",
    "sample_range",
    metavar="LOW:HIGH",
    callback=_named_range,
    help="Samples of black and white.  [default: what the file says, or those of its sample type]",
)


exact_increments_option = click.option(
    "--exact-increments",
    is_flag=True,
    help="Of a stack, animation or video compute only what is not as on the page before: the result is the same.",
)


def _refuse_sigma(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """A known noise level is nothing to tell: whoever named it would get a worse picture, not a better one."""
    if value is not None:
        raise InputError(
            "--sigma does not exist: noise is not told to a denoiser, which finds it by itself; --add-noise S adds "
            "noise, to try it on clean pictures"
        )


no_sigma = click.option(
    "--sigma",
    "refused_sigma",
    is_flag=False,
    flag_value="",
    hidden=True,
    expose_value=False,
    is_eager=True,
    callback=_refuse_sigma,
)
"""`--sigma`, which sounds as if it told the noise that is there, ends in an error that names `--add-noise`."""


def grouped(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """One decorator for several options, which the help shows in the order given."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
