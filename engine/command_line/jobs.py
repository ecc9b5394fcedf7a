"""Which picture goes where: inputs, outputs and clean references, all checked before anything is computed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..errors import InputError, SpikeunetError
from ..pictures.folders import partner_of, pictures_in
from ..pictures.picture_files import format_of
from .claims import Claims
from .console import progress
from .guard import report_error, system_message
from .streams import check_stdout

Record = TypeVar("Record")


@dataclass(frozen=True)
class Output:
    """A kind of file that is written for each picture.

    Parameters
    ----------
    path : str
        A file for one picture; a folder for several. A final slash names a folder.
    suffix : str or None
        What names of files in a folder end with; None for the picture's own suffix.
    check : function of a path
        Raises where the file could not be written in the format that its name tells.
    """

    path: str
    suffix: str | None = None
    check: Callable[[Path], object] = format_of


@dataclass(frozen=True)
class Job:
    """One picture: where it comes from, where it goes, its clean reference, its position in the sorted order.

    `extras` holds further outputs by name.
    """

    source: Path
    target: Path
    clean: Path | None
    index: int
    extras: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A picture that could not be processed, and why."""

    input: str
    error: str


def plan_jobs(
    inputs: Sequence[Path],
    output: Output,
    claims: Claims,
    clean: Path | None = None,
    extras: Mapping[str, Output] | None = None,
    report: str | None = None,
) -> list[Job]:
    """Jobs for files, or for the pictures of one folder, in sorted order.

    Parameters
    ----------
    inputs : sequence of Path
        One or more picture files, or one folder.
    output : Output
        Folders are made where only the last part of their path is missing.
    claims : Claims
        What else the command reads and writes; the jobs' files are added.
    clean : Path or None
        Reference of the one picture, or a folder of references that have the pictures' names.
    extras : dict of Output
        Further outputs by name.
    report : str or None
        File of a report on all of them; "-" for stdout.

    Raises
    ------
    InputError, PictureError, OSError
        If a file is missing, an output would replace another or an input, or a reference is missing.
    """
    from_folder = len(inputs) == 1 and inputs[0].is_dir()
    sources = pictures_in(inputs[0]) if from_folder else _checked_files(inputs)
    outputs = {"": output, **(extras or {})}
    into_folder = {name: from_folder or len(sources) > 1 or _is_folder(each) for name, each in outputs.items()}
    targets = {name: _targets(sources, each, into_folder[name]) for name, each in outputs.items()}
    references = [_reference(source, clean, single=len(sources) == 1) for source in sources]
    claims.reads("the input", *inputs)
    claims.reads("the clean reference", *([] if clean is None else [clean]))
    for name, paths in targets.items():
        for source, target in zip(sources, paths, strict=True):
            claims.writes(f"the {name or 'output'} of {source}", target)
    _check_report(report, claims)
    for name, each in outputs.items():
        folder = Path(each.path)
        (make_folder if into_folder[name] else check_folder)(folder if into_folder[name] else folder.parent)
    return [
        Job(source, targets[""][index], references[index], index, {name: targets[name][index] for name in extras or {}})
        for index, source in enumerate(sources)
    ]


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], Record], description: str
) -> tuple[list[Record], list[Failure]]:
    """Do every job; a picture that fails leaves nothing behind and does not stop the others."""
    records, failures = [], []
    for job in progress(jobs, description):
        try:
            records.append(work(job))
        except (SpikeunetError, OSError) as error:
            message = system_message(error) if isinstance(error, OSError) else str(error)
            report_error(message)
            failures.append(Failure(str(job.source), message))
    return records, failures


def _is_folder(output: Output) -> bool:
    return output.path.endswith(os.sep) or Path(output.path).is_dir()


def _targets(sources: Sequence[Path], output: Output, into_folder: bool) -> list[Path]:
    folder = Path(output.path)
    names = [source.name if output.suffix is None else source.stem + output.suffix for source in sources]
    targets = [folder / name for name in names] if into_folder else [folder]
    for target in targets:
        output.check(target)
    return targets


def _check_report(report: str | None, claims: Claims) -> None:
    """Raise where the report could not be written or would overwrite another file."""
    if report == "-":
        check_stdout()
    if report in (None, "-"):
        return
    path = Path(str(report))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    claims.writes("the report", path)
    check_folder(path.parent)


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


def check_model_suffix(path: Path) -> None:
    """InputError where `path` is not a model file by its suffix."""
    if path.suffix != ".npz":
        raise InputError(f"{path}: a model file ends in .npz; choose another name")


def _checked_files(inputs: Sequence[Path]) -> list[Path]:
    for path in inputs:
        if path.is_dir():
            raise InputError(f"{path}: a folder must be the only input; give files, or one folder")
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return sorted(inputs, key=lambda path: (path.name, path))


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
    return partner_of(source, clean, "clean references")
