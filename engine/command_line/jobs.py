"""Which picture goes where: inputs, outputs and clean references, all checked before anything is computed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ..errors import InputError, SpikeunetError, first_few, printable
from ..pictures.folders import partner_of, pictures_in, skipped_in
from ..pictures.formats import SUFFIXES, format_of, written_suffix
from ..pictures.frame_writer import VIDEO_SUFFIXES
from ..pictures.streams import name_of
from .claims import Claims
from .console import progress
from .guard import remark, report_error, system_message
from .output import printed_to_stderr
from .pipes import PIPE, PictureBytes, PipedInput, PipedOutput, Source, Target, only_one_for_stdout
from .report_place import claim_report

Record = TypeVar("Record")

_FILE_SUFFIXES = (*SUFFIXES, *VIDEO_SUFFIXES)

SKIPPED_NAMED = 3
"""So many skipped files are named."""


@dataclass(frozen=True)
class Output:
    """A kind of file that is written for each picture.

    Parameters
    ----------
    path : str
        A file for one picture; a folder for several. A final slash names a folder, "-" stdout.
    suffix : str or None
        What names of files in a folder end with; None for the picture's own suffix. Of a picture to stdout it is the
        format; None for PNG.
    check : function of a path
        Raises where the file could not be written in the format that its name tells.
    """

    path: str
    suffix: str | None = None
    check: Callable[[Path], object] = format_of


@dataclass(frozen=True)
class Job:
    """One picture: where it comes from, where it goes, its clean reference, its position in the sorted order.

    `target` is None where no file is made of a picture. `extras` holds further outputs by name.
    """

    source: Source
    target: Target | None
    clean: Path | None
    index: int
    extras: Mapping[str, Path] = field(default_factory=dict)

    @property
    def output(self) -> Target:
        """The target of a job that makes a file."""
        assert self.target is not None
        return self.target


@dataclass(frozen=True)
class Failure:
    """A picture that could not be processed, and why."""

    input: str
    error: str


def plan_jobs(
    inputs: Sequence[Path | str],
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
        One or more picture files, or one folder; or the text "-" alone, for a picture from stdin.
    output : Output
        Of a folder only the last part may be missing, which `run_jobs` makes; "-" is stdout, for one picture.
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
    only_one_for_stdout(output.path, report)
    paths = [path for path in inputs if isinstance(path, Path)]
    folder = paths[0] if len(inputs) == len(paths) == 1 and paths[0].is_dir() else None
    sources = _sources(inputs, paths, folder)
    several = folder is not None or len(sources) > 1
    targets = _targets(sources, output, several)
    further = {name: _paths(sources, each, several) for name, each in (extras or {}).items()}
    references = [_reference(source, clean, single=len(sources) == 1) for source in sources]
    claims.reads("the input", *paths)
    claims.reads("the clean reference", *([] if clean is None else [clean]))
    _claim(claims, sources, {"output": targets, **further})
    claim_report(report, claims, len(sources))
    for each in (output, *(extras or {}).values()):
        _check_place(each, several)
    if folder is not None:
        tell_skipped(folder)
    return [
        Job(source, targets[index], references[index], index, {name: places[index] for name, places in further.items()})
        for index, source in enumerate(sources)
    ]


def plan_readings(inputs: Sequence[Path | str], claims: Claims, report: str | None = None) -> list[Job]:
    """Jobs that make no files, for picture files and for the pictures of any number of folders, as they were named.

    Parameters
    ----------
    inputs : sequence of Path
        Picture files and folders; or the text "-" alone, for a picture from stdin.
    claims : Claims
        What else the command reads; the report is added.
    report : str or None
        File of a report on all of them; "-" for stdout.

    Raises
    ------
    InputError, OSError
        If a file is missing, a folder holds no pictures, or the report would replace one that is read.
    """
    paths = [path for path in inputs if isinstance(path, Path)]
    if len(paths) < len(inputs):
        sources: list[Source] = list(_sources(inputs, paths, None))
    else:
        sources = [each for path in paths for each in (pictures_in(path) if path.is_dir() else _checked_files([path]))]
    claims.reads("the input", *paths)
    claim_report(report, claims, len(sources))
    for folder in filter(Path.is_dir, paths):
        tell_skipped(folder)
    return [Job(source, None, None, index) for index, source in enumerate(sources)]


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], Record], description: str
) -> tuple[list[Record], list[Failure]]:
    """Do every job, in folders that are made now; a picture that fails leaves nothing and does not stop the others."""
    records, failures = [], []
    with made_folders(_folders_of(jobs)):
        for job in progress(jobs, description):
            try:
                records.append(work(job))
            except BrokenPipeError:  # of stdout: there is nobody to write for
                raise
            except (SpikeunetError, OSError) as error:
                message = failure_text(error, job)
                report_error(message)
                failures.append(Failure(str(job.source), message))
    return records, failures


def failure_text(error: SpikeunetError | OSError, job: Job) -> str:
    """What an error says, with the picture's name before it, unless it begins with the name of a file of the job."""
    message = system_message(error) if isinstance(error, OSError) else str(error)
    files = (job.source, job.target, job.clean, *job.extras.values())
    names = tuple(f"{printable(name_of(file))}:" for file in files if file is not None)
    return message if printable(message).startswith(names) else f"{job.source}: {message}"


def _sources(inputs: Sequence[Path | str], paths: Sequence[Path], folder: Path | None) -> Sequence[Source]:
    if len(paths) == len(inputs):
        return _checked_files(paths) if folder is None else pictures_in(folder)
    if len(inputs) > 1:
        raise InputError("- is the picture from stdin and must be the only input; a file of that name is ./-")
    return [PipedInput()]


def _claim(claims: Claims, sources: Sequence[Source], targets: Mapping[str, Sequence[Target]]) -> None:
    for name, places in targets.items():
        for source, target in zip(sources, places, strict=True):
            if isinstance(target, Path):
                claims.writes(f"the {name} of {source}", target)


def tell_skipped(folder: Path) -> None:
    """Say in one line which files of a folder are no input, and why; nothing where there are none.

    Of a folder that holds no pictures but folders of them, it says so of each of these.
    """
    inside = [] if _loose_pictures(folder) else [path for path in sorted(folder.iterdir()) if path.is_dir()]
    for each in inside or [folder]:
        _tell_skipped_here(each)


def _tell_skipped_here(folder: Path) -> None:
    skipped = [f"{path.name} ({reason})" for path, reason in skipped_in(folder)]
    if skipped:
        more = [] if len(skipped) <= SKIPPED_NAMED else [f"and {len(skipped) - SKIPPED_NAMED} more"]
        remark(f"spikeunet: skipped {len(skipped)} of {folder}: {', '.join(skipped[:SKIPPED_NAMED] + more)}")


def tell_skipped_by_class(folder: Path) -> None:
    """`tell_skipped` of each class's folder, and of pictures beside these folders."""
    from ..datasets.class_folders import class_folders

    loose = _loose_pictures(folder)
    if loose:
        remark(f"spikeunet: skipped {len(loose)} pictures of {folder} in no class's folder: {first_few(loose, 3)}")
    for each in class_folders(folder).values():
        _tell_skipped_here(each)


def _loose_pictures(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]


def _into_folder(output: Output, several: bool) -> bool:
    return several or output.path.endswith(os.sep) or Path(output.path).is_dir()


def _check_place(output: Output, several: bool) -> None:
    """OSError where an output has no place, and no folder can be made for it."""
    if _into_folder(output, several):
        _check_folder_name(output)
        check_new_folder(Path(output.path), "several pictures need a folder to go to, and this is a file")
    else:
        check_folder(Path(output.path).parent)


def _check_folder_name(output: Output) -> None:
    """InputError where a new folder would be called as a picture or a video is; a final slash says that it is meant."""
    folder = Path(output.path)
    if folder.suffix.lower() in _FILE_SUFFIXES and not (folder.exists() or output.path.endswith(os.sep)):
        raise InputError(
            f"{output.path}: several pictures need a folder to go to, and this is a picture's or a video's name; name "
            f"another, or {output.path}{os.sep} for a folder of this name"
        )


def _folders_of(jobs: Sequence[Job]) -> Iterator[Path]:
    """Folders that the jobs write to."""
    for job in jobs:
        yield from (path.parent for path in (job.target, *job.extras.values()) if isinstance(path, Path))


def _targets(sources: Sequence[Source], output: Output, several: bool) -> Sequence[Target]:
    if output.path != PIPE:
        return _paths(sources, output, several)
    if several:
        raise InputError("- is stdout, which takes one picture; name a folder for several")
    printed_to_stderr()
    return [PipedOutput(output.suffix or ".png")]


def _paths(sources: Sequence[Source], output: Output, several: bool) -> Sequence[Path]:
    folder = Path(output.path)
    if _into_folder(output, several):
        paths = [_in_folder(source, folder, output.suffix) for source in sources]
    else:
        paths = [folder]
    for path in paths:
        output.check(path)
    return paths


def _in_folder(source: Source, folder: Path, suffix: str | None) -> Path:
    if isinstance(source, PictureBytes):
        raise InputError(f"{folder}: a picture from stdin has no name to get in a folder; name a file")
    return folder / (source.stem + (written_suffix(source.suffix) if suffix is None else suffix))


def check_folder(folder: Path) -> None:
    """OSError where `folder` is not a folder that files can be written to."""
    if not folder.is_dir():
        code = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise OSError(code, f"{os.strerror(code)}; make the output folder first", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the output folder is not writable", str(folder))


def check_new_folder(folder: Path, reason: str = "Not a directory; this is a file, name another") -> None:
    """OSError where `folder` neither is one that can be written to nor can be made, by its last part alone."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, reason, str(folder))
    check_folder(folder if folder.exists() else folder.parent)


@contextmanager
def made_folders(folders: Iterable[Path]) -> Iterator[None]:
    """Make the folders that are missing, by their last part alone, once all else is known to be good.

    At the end those of them that nothing was written to are taken away again.

    Raises
    ------
    OSError
        If one cannot be made.
    """
    made = []
    for folder in dict.fromkeys(folders):
        check_new_folder(folder)
        if not folder.exists():
            folder.mkdir()
            made.append(folder)
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # something stands in it
                folder.rmdir()


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


def _reference(source: Source, clean: Path | None, *, single: bool) -> Path | None:
    """Clean reference of a picture: the file given, or the file of its name in the folder given."""
    if clean is None:
        return None
    if not clean.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(clean))
    if not clean.is_dir():
        if not single:
            raise InputError(f"{clean}: several pictures need a folder of clean references")
        return clean
    if isinstance(source, PictureBytes):
        raise InputError(f"{clean}: a picture from stdin has no name to find its reference by; name the file")
    return partner_of(source, clean, "clean references")
