"""Files of data sets as their makers give them: IDX (MNIST), CIFAR-10's binary version and JPEG in an NPZ."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files.archive import read_arrays
from ..pictures.folders import existing_folder
from .pictures import LabelledPictures

Bytes = NDArray[np.uint8]

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple(map(str, range(10)))
MOST_BYTES = 2**31
"""Of an unpacked IDX file."""
_SIDE = 32
_ROW = 1 + 3 * _SIDE * _SIDE


def read_idx_pair(folder: Path, part: str) -> LabelledPictures:
    """Digits of MNIST's files PART-images-idx3-ubyte and PART-labels-idx1-ubyte, packed by gzip or not."""
    existing_folder(folder, "IDX files")
    paths = [_packed_or_not(folder / f"{part}-{name}-ubyte") for name in ("images-idx3", "labels-idx1")]
    pictures, labels = (read_idx(path) for path in paths)
    if pictures.ndim != 3 or labels.shape != pictures.shape[:1]:
        raise InputError(
            f"{paths[1]}: has labels of the shape {labels.shape}, but {paths[0]} pictures of {pictures.shape}; fetch "
            "both anew"
        )
    return _labelled(paths[1], pictures[:, None], labels, DIGITS)


def read_idx(path: Path) -> Bytes:
    """Bytes of an IDX file: a type, the number of axes, their sizes, the samples."""
    content = _unpacked(path)
    axes = content[3] if len(content) > 3 else 0
    if content[:3] != b"\x00\x00\x08" or not axes or len(content) < 4 + 4 * axes:
        raise InputError(f"{path}: is no IDX file of bytes; fetch it anew")
    sizes = [int(size) for size in np.frombuffer(content, ">u4", axes, 4)]
    samples = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if samples.size != math.prod(sizes):
        raise InputError(f"{path}: has {samples.size} samples where its sizes say {sizes}; fetch it anew")
    return samples.reshape(sizes)


def read_cifar10(place: Path) -> tuple[LabelledPictures, LabelledPictures]:
    """CIFAR-10 to learn from and to test with: a folder of its binary version or of cifar10_jpeg.npz, or that file."""
    packed = place if place.is_file() else place / "cifar10_jpeg.npz"
    if packed.is_file():
        return _read_jpeg(packed)
    existing_folder(place, "files of CIFAR-10's binary version")
    *batches, test = (
        _read_batch(place / f"{name}.bin")
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    )
    pictures, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return _labelled(place, pictures, labels, CIFAR10), _labelled(place, *test, CIFAR10)


def _packed_or_not(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() else path


def _unpacked(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); fetch it anew") from None
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: has more than {MOST_BYTES} bytes, unpacked; give a smaller data set")
    return content


def _read_batch(path: Path) -> tuple[Bytes, Bytes]:
    samples = np.fromfile(path, np.uint8)
    if not samples.size or samples.size % _ROW:
        raise InputError(f"{path}: is no file of CIFAR-10's binary version; it has {samples.size} bytes")
    rows = samples.reshape(-1, _ROW)
    _check_labels(path, rows[:, 0], CIFAR10)
    return rows[:, 1:].reshape(-1, 3, _SIDE, _SIDE), rows[:, 0]


def _read_jpeg(path: Path) -> tuple[LabelledPictures, LabelledPictures]:
    """Picture i is jpeg[offset[i]:offset[i + 1]], with label[i] and is_test[i]; classes has their names."""
    arrays = read_arrays(path, InputError, "fetch it anew")
    wanted = {"jpeg", "offset", "label", "is_test", "classes"}
    if not wanted <= arrays.keys():
        raise InputError(f"{path}: has no arrays {', '.join(sorted(wanted - arrays.keys()))}; fetch it anew")
    offset, label, is_test = (_line(path, arrays, name) for name in ("offset", "label", "is_test"))
    if not len(label) == len(is_test) == len(offset) - 1:
        raise InputError(f"{path}: has {len(label)} labels for {len(offset) - 1} pictures; fetch it anew")
    is_test = is_test.astype(bool)
    if is_test.all() or not is_test.any():
        raise InputError(f"{path}: has no pictures to learn from, or none to test with; fetch it anew")
    classes = tuple(map(str, arrays["classes"].ravel().tolist()))
    content = arrays["jpeg"].tobytes()
    parts = itertools.pairwise(offset.tolist())
    decoded = [_decoded(content[start:end], path, index) for index, (start, end) in enumerate(parts)]
    everything = _labelled(path, np.stack(decoded), label, classes)
    return everything.part(~is_test), everything.part(is_test)


def _line(path: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """An array of whole numbers or bits along one axis; InputError where it is something else."""
    array = arrays[name]
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise InputError(
            f"{path}: {name} must be whole numbers along one axis (got {array.dtype} of shape {array.shape}); fetch it "
            "anew"
        )
    return array


def _decoded(content: bytes, path: Path, index: int) -> Bytes:
    """(3, H, W)."""
    # Pillow itself: by way of imageio each of tens of thousands takes 0.2 ms more.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            found = f"{image.width}x{image.height} pixels, {image.mode}"
            # What is too large is not decoded.
            samples = np.asarray(image) if image.size == (_SIDE, _SIDE) and image.mode == "RGB" else None
    except Exception as error:  # noqa: BLE001
        # Pillow raises nearly anything where a file is damaged.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: picture {index} is no JPEG ({reason}); fetch it anew") from None
    if samples is None:
        raise InputError(f"{path}: picture {index} is of {found}, not {_SIDE}x{_SIDE}, RGB; fetch it anew")
    return samples.transpose(2, 0, 1)


def _labelled(path: Path, pictures: Bytes, labels: NDArray[Any], classes: tuple[str, ...]) -> LabelledPictures:
    """Pictures of a file with labels; InputError that names it where there are none, or a label is none."""
    if not pictures.size:
        raise InputError(f"{path}: has no pictures; fetch it anew")
    _check_labels(path, labels, classes)
    return LabelledPictures(_unit(pictures), labels.astype(np.int64), classes)


def _check_labels(path: Path, labels: NDArray[Any], classes: tuple[str, ...]) -> None:
    wrong = (labels < 0) | (labels >= len(classes))
    if wrong.any():
        raise InputError(
            f"{path}: labels must lie in 0 to {len(classes) - 1}, one for each of {len(classes)} classes (got "
            f"{labels[wrong][0]}); fetch it anew"
        )


def _unit(samples: Bytes) -> NDArray[np.float32]:
    """Samples from 0 to 255 as numbers from 0 to 1."""
    return samples.astype(np.float32) / np.float32(255)
