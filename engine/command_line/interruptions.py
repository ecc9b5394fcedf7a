"""Ctrl-C and SIGTERM during a command: what they raise gets through to its end, whatever code it is raised in."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

import click

STATUS_INTERRUPTED = 130
STATUS_TERMINATED = 143

_AGAIN = 0.1
"""Seconds after which an interruption that nothing handles is raised once more."""


class InterruptionError(Exception):
    """Ctrl-C during a command, which click would take for its own affair; says what is left, if anything is."""


ENDS = (KeyboardInterrupt, SystemExit, InterruptionError, click.Abort)
"""What a command that is interrupted ends with."""


class Interruptions:
    """Handlers of signals while a command runs: they unwind the stack, so that temporary files are removed.

    What a handler raises can be lost: where C calls Python, in a `__del__`, or where code of others catches whatever
    comes. So it is raised again and again until something handles it. A system without timers does without.
    """

    def __init__(self) -> None:
        self._raised: BaseException | None = None
        self._over = False
        self._handlers: dict[int, Any] = {}
        self._timer: tuple[float, float] | None = None
        self._unraisable = sys.unraisablehook

    def __enter__(self) -> Self:
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._say_unless_lost
        with suppress(ValueError):  # another thread than the main one, which alone runs handlers
            # A shell has its background jobs ignore Ctrl-C, and None is a handler in C.
            if callable(signal.getsignal(signal.SIGINT)):
                self._handle(signal.SIGINT, self._interrupt)
            if signal.getsignal(signal.SIGTERM) is not None:
                self._handle(signal.SIGTERM, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over = True
        if self._timer is not None:
            signal.setitimer(signal.ITIMER_REAL, *self._timer)
        sys.unraisablehook = self._unraisable
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def result_of(self, run: Callable[[], object]) -> tuple[object, BaseException | None]:
        """What a function returns, and what it raises; a signal that comes later finds the command at its end."""
        result, error = None, None
        try:
            result = run()
        except BaseException as raised:  # noqa: BLE001 - the caller decides what becomes of it
            error = raised
        self._over = True
        if self._raised is not None and not isinstance(error, ENDS):
            # Lost at the very end, or what the function makes of it.
            error = self._raised
        return result, error

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], Any]) -> None:
        self._handlers[number] = signal.signal(number, handler)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        if self._over:
            return
        self._raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(STATUS_TERMINATED)
        if hasattr(signal, "setitimer") and self._timer is None and signal.getsignal(signal.SIGALRM) is not None:
            self._handle(signal.SIGALRM, self._interrupt_again)
            self._timer = signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        self._raise()

    def _interrupt_again(self, _number: int, _frame: FrameType | None) -> None:
        if not self._over and not self._is_handled():
            self._raise()

    def _raise(self) -> NoReturn:
        assert self._raised is not None
        raise self._raised

    def _is_handled(self) -> bool:
        """Whether what was raised last is the reason for what is done just now: an `except` or `finally` of it."""
        error = sys.exception()
        while error is not None and error is not self._raised:
            error = error.__context__
        return error is not None

    def _say_unless_lost(self, unraised: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraised.exc_value, (KeyboardInterrupt, SystemExit)):
            self._unraisable(unraised)
