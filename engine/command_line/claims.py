"""What a command reads and where it writes: nothing that it writes may replace what it reads, or another output."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Hashable, Iterable
from pathlib import Path

from ..errors import InputError
from ..pictures.picture_files import SUFFIXES


class Claims:
    """Files that one call of a command reads and writes.

    Two paths are one file where they lead to the same place: through links of both kinds, through other spellings of a
    folder, and, where the file system takes capitals for small letters, by names that differ in nothing else. Devices
    such as /dev/null are nobody's.
    """

    def __init__(self) -> None:
        self._read: dict[Hashable, str] = {}
        self._written: dict[Hashable, str] = {}
        self._spelt: dict[Hashable, str] = {}

    def reads(self, what: str, *paths: Path) -> None:
        """Note files that are read, and the pictures in folders that are; `what` says in messages what they are."""
        for each in (each for path in paths for each in (path, *_pictures_of(path))):
            identity = file_identity(each)
            if identity is not None:
                self._read.setdefault(identity, f"{what} {each}")

    def reads_model(self, name: str) -> None:
        """Note a model by name or path; ModelFileError where no model has the name."""
        from ..models import located

        with located(name) as path:
            self.reads("the model", path)

    def reads_examples(self, text: str | Path) -> None:
        """Note the pictures of a folder and of folders in it, or all those below that of a data set, NAME=FOLDER."""
        from ..datasets.dataset import split_name

        named = split_name(str(text))
        if named is not None:
            folders = [Path(place) for place, _, _ in os.walk(named[1])]
        else:
            folders = [Path(text), *(filter(Path.is_dir, Path(text).iterdir()) if Path(text).is_dir() else ())]
        self.reads("the picture", *folders)

    def writes(self, what: str, path: Path) -> None:
        """Note an output; InputError where it would replace a file that is read or another output."""
        identity = file_identity(path)
        if identity is None:
            return
        other = self._read.get(identity) or self._written.get(identity) or self._respelt(path)
        if other is not None:
            raise InputError(f"{path}: {what} would overwrite {other}; choose another name")
        self._written[identity] = what
        self._spelt[_folded(path)] = what

    def _respelt(self, path: Path) -> str | None:
        """The output to come whose name differs only in case from `path`, where the file system sees no difference."""
        other = self._spelt.get(_folded(path))
        return other if other is not None and _ignores_case(path.parent) else None


def file_identity(path: Path) -> Hashable:
    """The same for two paths that lead to one file, through links as well; None for a device."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return (status.st_dev, status.st_ino) if path.is_file() or path.is_dir() else None


def _pictures_of(path: Path) -> Iterable[Path]:
    """Files of a folder that any command would take for pictures."""
    if not path.is_dir():
        return ()
    return (each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())


def _folded(path: Path) -> str:
    """A place that is the same for all names that some file system takes for one."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _ignores_case(folder: Path) -> bool:
    """Whether a file in `folder`, or where `folder` will be made, is also found by its name in capitals.

    Only trying tells: this differs from folder to folder, and from mount to mount.
    """
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    try:
        with tempfile.NamedTemporaryFile(prefix=".spikeunet-", dir=existing) as probe:
            found = Path(probe.name)
            return found.with_name(found.name.upper()).exists()
    except OSError:
        return True  # nothing can be written there, as another message will say
