"""Whatever reading a broken file may raise, as one line that names the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikeunet.engine.errors import SpikeunetError, StateDictError
from spikeunet.engine.quiet import without_warnings

DAMAGE = (
    ValueError,
    OverflowError,
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,  # of h5py, and of zipfile on encrypted or unknown members
    zipfile.BadZipFile,
    zlib.error,
)
"""What libraries raise of what they cannot read. TypeError, KeyError and their like are mistakes in a program, which
must not look like mistakes in a file: whatever is looked up or called by a file's word is checked first."""


class UnreadableError(ValueError):
    """What is wrong with a file, and the remedy; the reader's caller knows the file's name."""


class DamagedError(ValueError):
    """Where a file contradicts itself."""


@contextmanager
def refusals(path: Path, kind: str) -> Iterator[None]:
    """StateDictError in place of anything that a broken file of some kind may raise in this context."""
    try:
        with without_warnings():
            yield
    except UnreadableError as fault:
        raise StateDictError(f"{path}: {fault}") from None
    except SpikeunetError:
        raise
    except PermissionError:
        raise StateDictError(f"{path}: may not be read; check the file's permissions") from None
    except DAMAGE as problem:
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise StateDictError(
            f"{path}: is {kind}, but truncated or damaged ({reason}); fetch or save the file again"
        ) from None
