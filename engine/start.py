"""What has to be right before NumPy and Numba are loaded: the stack, and Numba's settings. Imported before all else.

What is wrong there is a SettingError in one line. In the command `spikeunet`, whose own error handling is not loaded
yet, it ends the process with that line and status 2.
"""

from __future__ import annotations

import sys
from pathlib import PurePath

from .errors import SettingError

LEAST_STACK = 256 << 10
"""Bytes of stack that loading NumPy and LLVM takes, with room to spare: with 64 KiB the process dies."""


def check() -> None:
    """SettingError where the package cannot run in this process as it is set up."""
    try:
        _check_stack()
        # Here, because it loads NumPy.
        from .numba_settings import check_settings

        check_settings()
    except SettingError as error:
        if not _is_command():
            raise
        sys.stderr.write(f"spikeunet: error: {error}\n")
        sys.exit(2)


def _check_stack() -> None:
    try:
        import resource
    except ImportError:  # There are no such limits on Windows.
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft < LEAST_STACK:
        raise SettingError(
            f"the stack is limited to {soft >> 10} KiB (ulimit -s), at least {LEAST_STACK >> 10} KiB are needed; "
            "8192 is usual"
        )


def _is_command() -> bool:
    """Whether this process is the command line, from its script or from `python -m`."""
    script = PurePath(sys.argv[0]).stem if getattr(sys, "argv", None) else ""
    return script in ("spikeunet", "spikeunet-script") or "spikeunet.engine.command_line" in sys.orig_argv


check()
