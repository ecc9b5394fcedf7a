"""`python -m spikeunet`, and the command `spikeunet`."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command; a signal that comes before it can, or when it is done, ends the process without a word."""
    # None is a handler in C, and a shell has its background jobs ignore Ctrl-C.
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, _leave)
    if signal.getsignal(signal.SIGTERM) is not None:
        signal.signal(signal.SIGTERM, _leave)
    from .engine.command_line import main as command

    command()


def _leave(number: int, _frame: FrameType | None) -> None:
    # At once: what is raised while modules are imported comes out as a traceback, or as another error.
    os._exit(128 + number)


if __name__ == "__main__":
    main()
