"""Pictures in folders, and the files of other folders that belong to them by name."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..errors import InputError
from .formats import SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder, by suffix, sorted by name; InputError where there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not _is_hidden(path))
    found = [path for path in found if path.is_file()]
    if not found:
        raise InputError(f"{folder}: no pictures in this folder; pictures end with {', '.join(SUFFIXES)}")
    return found


def skipped_in(folder: Path) -> list[tuple[Path, str]]:
    """What `pictures_in` leaves out of a folder, sorted by name, and why; hidden files only where they are pictures."""
    reasons = {path: _why_skipped(path) for path in sorted(folder.iterdir())}
    return [(path, reason) for path, reason in reasons.items() if reason is not None]


def _why_skipped(path: Path) -> str | None:
    is_picture = path.suffix.lower() in SUFFIXES
    if _is_hidden(path):
        return "hidden" if is_picture else None
    if path.is_dir():
        return "a folder"
    if not is_picture:
        return "no picture by its suffix"
    return None if path.is_file() else "no file"


def partner_of(source: Path, folder: Path, what: str, stem: str | None = None, also: tuple[str, ...] = ()) -> Path:
    """The file of the picture's name in another folder, or the only one that differs from it in the suffix alone.

    `what` names such files in the InputError that is raised where there is none, `stem` is their name where it is not
    the picture's, and `also` are suffixes that they may have besides those of pictures.
    """
    if stem is None and (folder / source.name).is_file():
        return folder / source.name
    wanted, suffixes = source.stem if stem is None else stem, (*SUFFIXES, *also)
    found = [path for path in folder.iterdir() if path.stem == wanted and path.suffix.lower() in suffixes]
    if len(found) != 1:
        called = "" if stem is None else f", which would be called {stem}"
        raise InputError(f"{folder}: has {len(found) or 'no'} {what} for {source.name}{called}; one is needed")
    return found[0]


def existing_folder(folder: Path, what: str) -> Path:
    """`folder` where it is one; OSError where it is missing or a file, naming what it should hold."""
    if not folder.is_dir():
        code = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise OSError(code, f"{os.strerror(code)}; give a folder of {what}", str(folder))
    return folder


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")
