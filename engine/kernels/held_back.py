"""Signals held back from code that must not be left in its middle, such as Numba's and LLVM's compiler.

Python runs a signal's handler between any two steps of the main thread, and what the handler raises leaves whatever is
under way there. In a compiler that may be a function that C++ calls, where nobody can catch it and Python goes on as if
nothing had been; or a lock's own method, after which the lock is never released and other threads wait for ever.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")
"""Signals whose handlers usually raise something; Windows lacks the last two."""


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Let the handlers of signals wait for the end of a block, which should be reached within seconds.

    Of several signals the first one counts. What Python does not handle is not held back.
    """
    known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: handler for number in known if callable(handler := signal.getsignal(number))}
    arrived: list[int] = []
    holding, process = True, os.getpid()

    def note(number: int, frame: FrameType | None) -> None:
        if holding and os.getpid() == process:
            arrived.append(number)
        else:  # Another signal came while handlers were put back, or another thread forked the process meanwhile.
            before[signal.Signals(number)](number, frame)

    changed = []
    try:
        with suppress(ValueError):  # Another thread than the main one, which alone runs handlers.
            for number in before:
                signal.signal(number, note)
                changed.append(number)
        yield
    finally:
        holding = False
        for number in changed:
            signal.signal(number, before[number])
        if arrived:
            signal.raise_signal(arrived[0])
