"""Recordings of event cameras, read into one kind of array whatever the file."""

from __future__ import annotations

import importlib.util
import math
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SettingError
from ..files import hdf5
from ..files.archive import MAXIMUM_BYTES, MAXIMUM_RATIO, read_arrays
from ..files.hdf5_heaps import check_heaps

EVENT_TYPE = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "u1")])
"""Column, row, time (microseconds in camera files) and polarity, 0 or 1."""

MOST_EVENTS = 1 << 28

_NAMES = (("x", "y", "t", "p"), ("xs", "ys", "ts", "ps"))
"""What arrays of a group in HDF5 files are called."""

_REMEDY = "copy or record it again"
_DAMAGE = (ValueError, EOFError, OSError, MemoryError, KeyError, zipfile.BadZipFile, NotImplementedError)


def read_events(path: str | PathLike[str]) -> NDArray[Any]:
    """Events of a file, in the order of the file.

    N-MNIST (``.bin``) and NumPy's structured arrays (``.npy``, ``.npz``, fields x, y, t and p; or an NPZ file with an
    array of each) are read by the package itself; HDF5 (``.h5``, ``.hdf5``) with one such structured array anywhere, or
    a group of arrays x, y, t and p or xs, ys, ts and ps, by h5py; Prophesee's EVT2 and EVT3 (``.raw``) and AEDAT4
    (``.aedat4``) by faery in a process of its own (extra ``events``).

    Parameters
    ----------
    path : str or path

    Returns
    -------
    events : (n,) structured array
        Fields x and y (uint16), t (int64; microseconds in camera files, as stored in others) and p (uint8, 0 or 1): of
        an NPY, NPZ or HDF5 file those of the file, of any type. `bin_events` checks what it takes.

    Raises
    ------
    InputError
        If there is no such file, or it is of another kind, truncated or damaged.
    SettingError
        If faery or h5py is needed and not installed.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], NDArray[Any]]] = {
        ".bin": _read_nmnist,
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".h5": _read_hdf5,
        ".hdf5": _read_hdf5,
        ".raw": _read_prophesee,
        ".aedat4": _read_with_faery,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: is of no kind that is read; that are {', '.join(readers)}. Text goes by numpy.loadtxt into an "
            "array with the fields x, y, t and p, which does as well"
        )
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}; check the path")
    try:
        return reader(path)
    except (InputError, SettingError):
        raise
    except _DAMAGE as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path}: is truncated or damaged ({reason}); {_REMEDY}") from None


def _events(fields: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    events = np.empty(len(fields["t"]), EVENT_TYPE)
    for name in EVENT_TYPE.names or ():
        events[name] = fields[name]
    return events


def _read_nmnist(path: Path) -> NDArray[Any]:
    """Five bytes an event: column, row, and a bit of polarity before 23 bits of microseconds, the highest first."""
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % 5:
        raise InputError(
            f"{path}: has {len(content)} bytes, no multiple of the 5 of an N-MNIST event: it is truncated or of "
            f"another kind; {_REMEDY}"
        )
    x, y, high, middle, low = content.reshape(-1, 5).T.astype(np.int64)
    return _events({"x": x, "y": y, "t": (high & 127) << 16 | middle << 8 | low, "p": high >> 7})


def _read_npy(path: Path) -> NDArray[Any]:
    # Mapped first, which refuses a file that is shorter than it says before memory is taken for it.
    return _structured(path, np.lib.format.open_memmap(path, mode="r"))


def _read_npz(path: Path) -> NDArray[Any]:
    with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
        names = list(archive.files)
        if len(names) == 1:
            return _structured(path, archive[names[0]])
    if not set("xytp") <= set(names):
        raise InputError(
            f"{path}: must hold one structured array, or arrays x, y, t and p (got {', '.join(names)[:100] or 'none'})"
        )
    return _put_together(path, read_arrays(path, InputError, _REMEDY))


def _read_hdf5(path: Path) -> NDArray[Any]:
    """One structured array, or four arrays of one group."""
    try:
        import h5py
    except ImportError:
        raise SettingError(
            f"{path}: reading {path.suffix} needs h5py, which is not installed: pip install 'spikeunet[events]'"
        ) from None
    check_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            found = {place: item for place, item in hdf5.objects(h5py, file) if isinstance(item, h5py.Dataset)}
            return _events_of_hdf5(path, found)
    except hdf5.Hdf5Error as error:
        raise InputError(f"{path}: {error}") from None


def _events_of_hdf5(path: Path, found: Mapping[str, Any]) -> NDArray[Any]:
    structured = [[place] for place, dataset in found.items() if set("xytp") <= set(dataset.dtype.fields or ())]
    groups = [
        [str(PurePosixPath(place).with_name(name)) for name in names]
        for names in _NAMES
        for place in found
        if PurePosixPath(place).name == names[0]
    ]
    whole = structured + [places for places in groups if found.keys() >= set(places)]
    if len(whole) != 1:
        raise InputError(
            f"{path}: must hold one array with the fields x, y, t and p, or one group of arrays x, y, t and p, or xs, "
            f"ys, ts and ps (got {len(whole)} of these among {', '.join(found)[:100] or 'nothing'})"
        )
    for place in whole[0]:
        _check_dataset(place, found[place], path.stat().st_size)
    arrays = [found[place][()] for place in whole[0]]
    if structured:
        return _structured(path, arrays[0])
    return _put_together(path, dict(zip("xytp", arrays, strict=True)))


def _check_dataset(place: str, dataset: Any, file_size: int) -> None:
    """Hdf5Error where an array cannot be read out of the file alone, or is far larger than such a file can hold."""
    if hdf5.lies_elsewhere(dataset):
        raise hdf5.Hdf5Error(f"the numbers of {place!r:.100} lie in another file")
    unknown = hdf5.unknown_filters(dataset)
    if unknown:
        raise hdf5.Hdf5Error(
            f"{place!r:.100} is compressed by a plug-in, filter {min(unknown)}, and none is loaded; rewrite the file "
            "with h5repack -f GZIP=4"
        )
    if dataset.shape is None or dataset.dtype.hasobject:
        raise hdf5.Hdf5Error(f"{place!r:.100} has no numbers, or texts among them")
    hdf5.check_pieces(place, dataset)
    if math.prod(dataset.shape) * dataset.dtype.itemsize > min(MAXIMUM_BYTES, MAXIMUM_RATIO * file_size):
        raise hdf5.Hdf5Error(f"{place!r:.100} declares more bytes than a file of {file_size} bytes may")


def _put_together(path: Path, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    shapes = {arrays[name].shape for name in "xytp"}
    if len(shapes) > 1 or arrays["t"].ndim != 1:
        raise InputError(f"{path}: x, y, t and p must have one axis and be of one length (got {sorted(shapes)})")
    events = np.empty(len(arrays["t"]), [(name, arrays[name].dtype) for name in "xytp"])
    for name in "xytp":
        events[name] = arrays[name]
    return events


def _structured(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    if not set("xytp") <= set(array.dtype.fields or ()) or array.ndim != 1:
        raise InputError(
            f"{path}: must hold a structured array of one axis with the fields x, y, t and p (got "
            f"{str(array.dtype)[:100]}, shape {array.shape})"
        )
    return np.array(array)


def _read_prophesee(path: Path) -> NDArray[Any]:
    """EVT2 or EVT3, as the header says; it has no length, so that only a cut within a word is found."""
    with path.open("rb") as stream:
        version, size = _prophesee_header(stream), path.stat().st_size - stream.tell()
    word = {"2": 4, "3": 2}.get(version)
    if word is None:
        raise InputError(f"{path}: names no format EVT2 or EVT3 in its header, which are all that is read")
    if not size or size % word:
        raise InputError(
            f"{path}: has {size} bytes of events, no multiple of the {word} of EVT{version}: it is truncated; {_REMEDY}"
        )
    return _read_with_faery(path)


def _prophesee_header(stream: IO[bytes]) -> str:
    """The number of the format, or nothing; the stream is then behind the header, lines that begin with "% "."""
    version, place = "", stream.tell()
    while (line := stream.readline(1 << 12)).startswith(b"% ") and line.endswith(b"\n"):
        found = re.match(rb"% (?:evt |format EVT)(\d)", line)
        version, place = found[1].decode() if found else version, stream.tell()
        if line == b"% end\n":
            break
    stream.seek(place)
    return version


_DECODE = f"""
import sys
import faery
import numpy
packets, count = [], 0
for packet in faery.events_stream_from_file(sys.argv[1]):
    packets.append(packet)
    count += len(packet)
    if count > {MOST_EVENTS}:
        sys.exit("it holds more than {MOST_EVENTS} events, the limit")
if not count:
    sys.exit("it holds no events")
numpy.save(sys.argv[2], numpy.concatenate(packets))
"""
"""What a process of its own does: a damaged file may end the process that decodes it."""


def _read_with_faery(path: Path) -> NDArray[Any]:
    if importlib.util.find_spec("faery") is None:
        raise SettingError(
            f"{path}: reading {path.suffix} needs faery, which is not installed: pip install 'spikeunet[events]'"
        )
    with tempfile.TemporaryDirectory(prefix="spikeunet-") as folder:
        decoded = Path(folder) / "events.npy"
        command = [sys.executable, "-P", "-c", _DECODE, str(path.resolve()), str(decoded)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if re.match(r"[\w.]+(Error|Exception): ", line)]
            last = said or done.stderr.strip().splitlines() or [""]
            reason = "its decoder crashed" if done.returncode < 0 else last[-1].removeprefix("RuntimeError: ")[:120]
            raise InputError(f"{path}: is truncated, damaged or of another kind ({reason}); {_REMEDY}")
        events = np.load(decoded, allow_pickle=False)
    return _events({"x": events["x"], "y": events["y"], "t": events["t"], "p": events["on"]})
