"""A picture from stdin and a picture to stdout, as file objects where a job has paths."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError
from .streams import check_stdout

PIPE = "-"
"""Stands for stdin among the inputs and for stdout as output; a file of this name is ./-."""

MAXIMUM_BYTES = 4 * 2**30
"""More is no picture that would be read."""


class PictureBytes(io.BytesIO):
    """The bytes of a picture file that is no file here, and the name that messages give it."""

    name: str

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name

    def __str__(self) -> str:
        return self.name


class PipedInput(PictureBytes):
    """What stdin has, read to its end; InputError where that is nothing that a picture could be read from."""

    def __init__(self) -> None:
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise InputError("stdin is closed, so that no picture can come from there; name a file in place of -")
        if sys.stdin.isatty():
            raise InputError("stdin is a terminal, where no picture comes from; pipe one in or name a file")
        content = stream.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise InputError(
                f"stdin has more than {MAXIMUM_BYTES} bytes, which is no picture; name a file in place of -"
            )
        super().__init__(content, PIPE)


class PipedOutput(io.BytesIO):
    """Stdout as a place for a picture; its name ends as a file of the picture's format would.

    Raises
    ------
    InputError
        If stdout is closed or a terminal.
    """

    def __init__(self, suffix: str) -> None:
        check_stdout()
        if not hasattr(sys.stdout, "buffer"):
            raise InputError("stdout takes text alone, and no picture; name a file in place of -")
        if sys.stdout.isatty():
            raise InputError("stdout is a terminal, which shows no picture; redirect it or name a file in place of -")
        super().__init__()
        self.name = f"stdout{suffix}"

    def __str__(self) -> str:
        return PIPE

    def write(self, data: Any, /) -> int:
        """Write all of `data`, and at once."""
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:  # which does not say of itself that it is not about the picture that was read
            raise OSError(error.errno, error.strerror, "stdout") from None
        return len(data)


def only_one_for_stdout(output: str, report: str | None) -> None:
    """InputError where the picture and the report would both go to stdout."""
    if output == PIPE and report == PIPE:
        raise InputError("the picture and the report cannot both go to stdout; name a file for one of them")


Source = Path | PictureBytes
Target = Path | PipedOutput
