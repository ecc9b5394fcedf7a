"""Standard streams that can be used whatever the shell did to them: closed, or in an encoding that lacks characters."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from ..errors import InputError


@contextmanager
def usable_streams() -> Iterator[None]:
    """Let nothing fail on a stream that is closed, or on a character that its encoding lacks, as long as this lasts.

    What goes to a closed stdout or stderr is lost, which is what closing them asks for; a character that cannot be
    shown becomes its escape.
    """
    with ExitStack() as stack:
        if None in (sys.stdin, sys.stdout, sys.stderr):
            _fill_descriptors()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            elif isinstance(stream, io.TextIOWrapper):
                stack.callback(_set_errors, stream, stream.errors or "strict")
                _set_errors(stream, "backslashreplace")
        yield


def check_stdout() -> None:
    """InputError where a result is to go to a stdout that is closed."""
    if getattr(sys.stdout, "name", None) == os.devnull:
        raise InputError("stdout is closed, so that nothing can go there; name a file in place of -")


def _set_errors(stream: TextIO, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper) and not stream.closed:
        stream.reconfigure(errors=errors)


def _fill_descriptors() -> None:
    """Take the descriptors 0 to 2 that are free, so that no file gets one and with it what is meant for a stream."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
