"""Kernels of earlier versions of the package, which nobody asks for any more."""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from .kernel_file import TEMPORARY

KEPT_GENERATIONS = 32
KEPT_DAYS = 90

_DAY = 86400.0
_GENERATION = re.compile(r"kernels-[0-9a-f]{16}")


@functools.cache
def mark_as_used(folder: Path) -> None:
    """Say by the folder's time that its kernels are asked for, where it can be written to."""
    with suppress(OSError):
        os.utime(folder)


@functools.cache
def remove_outdated(folder: Path) -> None:
    """Remove folders beside `folder` that are long unused or too many, and what killed processes left in it.

    A process that still uses one of them compiles its kernels again; none fails.
    """
    with suppress(OSError):
        found = [(path.stat().st_mtime, path) for path in folder.parent.iterdir() if _GENERATION.fullmatch(path.name)]
        found.sort(reverse=True)
        oldest = time.time() - KEPT_DAYS * _DAY
        others = [(used, path) for used, path in found if path != folder]
        for number, (used, path) in enumerate(others, 2):
            if number > KEPT_GENERATIONS or used < oldest:
                shutil.rmtree(path, ignore_errors=True)
        for path in folder.glob(f"*{TEMPORARY}"):
            if path.stat().st_mtime < time.time() - _DAY:
                path.unlink()
