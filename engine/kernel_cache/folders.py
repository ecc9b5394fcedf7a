"""Which folders kernels are read from and written to.

In this order: the folder that SPIKEUNET_CACHE names, else one inside the folder that NUMBA_CACHE_DIR names, else the
user's cache folder; where nothing can be written there, the user's cache folder, then a private one among the temporary
files; else none. Files are code that will run, so that only a folder counts that nobody else can write to.
"""

from __future__ import annotations

import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

import platformdirs
from numba import config

VARIABLE = "SPIKEUNET_CACHE"
"""Environment variable of the folder that kernels are kept in."""

_log = logging.getLogger(__name__)


def readable_folders(name: str) -> tuple[Path, ...]:
    """Folders called `name` that hold kernels to be trusted, in the order in which they are to be looked into.

    Only the one that is asked for where it can be written to: what is missing there is wanted there.
    """
    return _readable(name, places())


@functools.cache
def _readable(name: str, bases: tuple[Path, ...]) -> tuple[Path, ...]:
    try:
        return tuple(_made_folder(base, name) for base in bases[:1])
    except OSError:
        return tuple(base / name for base in bases if _is_there(base, name))


def writable_folder(name: str) -> Path | None:
    """The first folder called `name` that kernels can be written to, made if need be; None where there is none.

    Says once where it is not the first.
    """
    return _writable(name, places())


@functools.cache
def _writable(name: str, bases: tuple[Path, ...]) -> Path | None:
    reasons = [] if bases else ["there is no folder to keep kernels in"]
    for base in bases:
        try:
            folder = _made_folder(base, name)
        except OSError as error:
            reasons.append(f"kernels cannot be kept in {base} ({error.strerror or error})")
            continue
        if reasons:
            _log.warning("%s but in %s; set %s to a folder of your own", reasons[0], base, VARIABLE)
        return folder
    _log.warning("%s: they are compiled in each run; set %s to a folder of your own", reasons[0], VARIABLE)
    return None


def cache_folder() -> Path | None:
    """The folder that kernels are kept in where nothing goes wrong; None where there is none."""
    return next(iter(places()), None)


def places() -> tuple[Path, ...]:
    """All folders that may hold kernels, the one that is asked for first."""
    bases = (_asked_for(), _of_the_user(), _private_temporary())
    return tuple(dict.fromkeys(base for base in bases if base is not None))


def _asked_for() -> Path | None:
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    return Path(config.CACHE_DIR).absolute() / "spikeunet" if config.CACHE_DIR else None


def _of_the_user() -> Path | None:
    """None where there is no home folder to be found."""
    folder = platformdirs.user_cache_path("spikeunet", appauthor=False)
    return folder if folder.is_absolute() else None


@functools.cache
def _private_temporary() -> Path | None:
    """Of this user alone, see `_made_folder`: anybody may make a folder of that name."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        return Path(tempfile.gettempdir()).absolute() / f"spikeunet-cache-{user}"
    except OSError:  # There is no place for temporary files.
        return None


def _is_there(base: Path, name: str) -> bool:
    """Whether the folder is there and to be trusted."""
    try:
        _check_private(base)
        return is_trusted((base / name).stat())
    except OSError:
        return False


def _check_private(base: Path) -> None:
    """OSError where a folder among the temporary files is somebody else's."""
    if base == _private_temporary() and (stat.S_ISLNK(base.lstat().st_mode) or not is_trusted(base.lstat())):
        raise PermissionError("it belongs to somebody else")


def is_trusted(status: os.stat_result) -> bool:
    """Whether only those can write to a file or folder whose code runs in this process anyway.

    These are its own user, root, and who owns this package.
    """
    if not hasattr(os, "getuid"):  # Windows: folders of a user are the user's own.
        return True
    writable_by_others = bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return not writable_by_others and status.st_uid in (os.getuid(), 0, _owner_of_the_package())


@functools.cache
def _owner_of_the_package() -> int:
    return Path(__file__).stat().st_uid


def _made_folder(base: Path, name: str) -> Path:
    """The folder, there, to be trusted and writable; OSError otherwise."""
    folder = base / name
    private = base == _private_temporary()
    # Others may read kernels that are made when an image is built, but not what lies among the temporary files.
    base.mkdir(mode=0o700 if private else 0o755, parents=not private, exist_ok=True)
    _check_private(base)
    folder.mkdir(mode=0o755, exist_ok=True)
    if not is_trusted(folder.stat()):
        raise PermissionError("somebody else can write there")
    tempfile.TemporaryFile(dir=folder).close()
    return folder
