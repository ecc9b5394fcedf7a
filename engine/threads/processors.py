"""How many processors are this process's own: those that it may run on, less what a container grants of them.

A container is given a share of a machine's processors in one of two ways: by naming some, which the system tells as the
process's affinity, or by a quota of processor time, which only its control group says. With more threads than the quota
has room for, each runs for a moment and then stands still until the next period, and others wait for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_SECONDS = 1.0
"""How long a quota that has been read is taken for granted: reading it takes longer than a small picture."""

_read: tuple[float, float | None] | None = None
"""Until when it holds, and the quota that was read last."""


def available_processors() -> int:
    """Number of processors that this process may use, at least 1; of a quota, whole ones.

    The least of what the system says of its affinity, of `-X cpu_count` where Python has it, and of the quotas of its
    control group and those above.
    """
    quota = _quota()
    return _allowed() if quota is None else max(1, min(_allowed(), int(quota)))


def _allowed() -> int:
    count = getattr(os, "process_cpu_count", None)
    if count is not None:
        return count() or 1
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _quota() -> float | None:
    global _read  # noqa: PLW0603 - one assignment of a whole pair: threads need no lock for it
    now = time.monotonic()
    if _read is None or now >= _read[0]:
        _read = (now + _SECONDS, processor_quota())
    return _read[1]


def processor_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the control groups of this process grant it; None without a limit.

    Parameters
    ----------
    root : Path
        Folder in which `proc` and the control groups' folders lie.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    quotas = (_quota_of(folder) for folder in _folders(groups, mounts, root))
    return min((quota for quota in quotas if quota is not None), default=None)


def _folders(groups: list[str], mounts: list[str], root: Path) -> Iterator[Path]:
    """Folders of the process's control groups, each with those above it as far as they can be seen."""
    for top, place in _mounts(mounts, groups):
        for group in (place, *place.parents):
            yield root / top.relative_to("/") / group


def _mounts(mounts: list[str], groups: list[str]) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Where control groups for processors are mounted, and the process's own group from there."""
    paths = dict(_paths(groups))
    for line in mounts:
        left, _, right = line.partition(" - ")
        fields, (kind, _, options) = left.split(), [*right.split(), "", "", ""][:3]
        version = {"cgroup2": 2, "cgroup": 1}.get(kind)
        if len(fields) < 5 or version not in paths or (version == 1 and "cpu" not in options.split(",")):
            continue
        above, top = (PurePosixPath(_unescaped(field)) for field in fields[3:5])
        own = paths[version]
        # From inside a container the way may lead out of what is mounted: its own group is then the topmost one.
        seen = own.is_relative_to(above) and ".." not in own.parts
        if top.is_absolute():
            yield top, own.relative_to(above) if seen else PurePosixPath()


def _paths(groups: list[str]) -> Iterator[tuple[int, PurePosixPath]]:
    """The process's own group in each version of control groups, out of the lines of /proc/self/cgroup."""
    for line in groups:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield 2, PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            yield 1, PurePosixPath(path)


def _unescaped(field: str) -> str:
    """A path out of /proc/self/mountinfo, in which blanks are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _quota_of(folder: Path) -> float | None:
    """Processors' worth of time that one group grants; None without a limit."""
    found = _words(folder / "cpu.max") or [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
    try:
        granted, period = map(int, found)
    except ValueError:  # "max", or nothing there
        return None
    return granted / period if granted > 0 and period > 0 else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []
