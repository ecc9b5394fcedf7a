"""Which picture goes where: inputs, outputs and clean references, all checked before anything is computed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..pictures import FORMATS, format_of


@dataclass(frozen=True)
class Job:
    """One picture: where it comes from, where it goes, its clean reference, its position in the sorted order."""

    source: Path
    target: Path
    clean: Path | None
    index: int


def plan_jobs(
    inputs: Sequence[Path], output: str | Path, clean: Path | None, protected: Iterable[Path] = ()
) -> list[Job]:
    """Jobs for files, or for the pictures of one folder, in sorted order.

    Parameters
    ----------
    inputs : sequence of Path
        One or more picture files, or one folder.
    output : str or Path
        A file for one picture; a folder for several, made where only it is missing. A final slash names a folder.
    clean : Path or None
        Reference of the one picture, or a folder of references that have the pictures' names.
    protected : iterable of Path
        Files that must not be overwritten.

    Raises
    ------
    InputError, PictureError, OSError
        If a file is missing, two pictures have one output, an output is an input, or a reference is missing.
    """
    from_folder = len(inputs) == 1 and inputs[0].is_dir()
    sources = pictures_in(inputs[0]) if from_folder else _checked_files(inputs)
    names_folder = str(output).endswith(os.sep)
    output = Path(output)
    into_folder = from_folder or len(sources) > 1 or names_folder or output.is_dir()
    targets = [output / source.name if into_folder else output for source in sources]
    for target in targets:
        format_of(target)
    references = [_reference(source, clean, single=len(sources) == 1) for source in sources]
    _check_targets(sources, targets)
    _check_overwriting(targets, [*sources, *protected, *(path for path in references if path is not None)])
    (make_folder if into_folder else check_folder)(output if into_folder else output.parent)
    return [
        Job(source, target, reference, index)
        for index, (source, target, reference) in enumerate(zip(sources, targets, references, strict=True))
    ]


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder, by suffix, sorted by name; InputError where there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS and not _is_hidden(path))
    found = [path for path in found if path.is_file()]
    if not found:
        raise InputError(f"{folder}: no pictures in this folder; pictures end with {', '.join(FORMATS)}")
    return found


def check_folder(folder: Path) -> None:
    """OSError where `folder` is not a folder that files can be written to."""
    if not folder.is_dir():
        code = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise OSError(code, f"{os.strerror(code)}; make the output folder first", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the output folder is not writable", str(folder))


def make_folder(folder: Path) -> None:
    """Make `folder` where only its last part is missing; OSError where that is not possible."""
    if folder.exists() and not folder.is_dir():
        reason = "several pictures need a folder to go to, and this is a file"
        raise NotADirectoryError(errno.ENOTDIR, reason, str(folder))
    if not folder.exists():
        check_folder(folder.parent)
        folder.mkdir()
    check_folder(folder)


def file_identity(path: Path) -> tuple[int, int] | str:
    """The same for two paths that lead to one file, through links as well."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _checked_files(inputs: Sequence[Path]) -> list[Path]:
    for path in inputs:
        if path.is_dir():
            raise InputError(f"{path}: a folder must be the only input; give files, or one folder")
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return sorted(inputs, key=lambda path: (path.name, path))


def _check_targets(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        if target in seen:
            raise InputError(f"{seen[target]} and {source} would both be written to {target}; give them other names")
        seen[target] = source


def _check_overwriting(targets: Iterable[Path], protected: Iterable[Path]) -> None:
    inputs = {file_identity(path): path for path in protected}
    for target in targets:
        overwritten = inputs.get(file_identity(target))
        if overwritten is not None:
            raise InputError(f"{target}: the output would overwrite the input {overwritten}; choose another name")


def _reference(source: Path, clean: Path | None, *, single: bool) -> Path | None:
    """Clean reference of a picture: the file given, or the file of its name in the folder given."""
    if clean is None:
        return None
    if not clean.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(clean))
    if not clean.is_dir():
        if not single:
            raise InputError(f"{clean}: several pictures need a folder of clean references")
        return clean
    if (clean / source.name).is_file():
        return clean / source.name
    same_stem = [path for path in clean.iterdir() if path.stem == source.stem and path.suffix.lower() in FORMATS]
    if len(same_stem) != 1:
        raise InputError(f"{clean}: has {len(same_stem) or 'no'} clean references for {source.name}; one is needed")
    return same_stem[0]
