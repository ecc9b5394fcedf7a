"""Keras's weights, through h5py (extra keras): HDF5 files of Keras 2 and 3, and the archives `.keras`.

Kernels lie in Keras as (H, W, in, out), those of transposed convolutions as (H, W, out, in), of dense layers as (in,
out). PyTorch has the last axis first, then the last but one, then height and width, for all three.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.files import hdf5, hdf5_objects
from spikeunet.engine.files.archive import MAXIMUM_BYTES, MAXIMUM_RATIO, member_fault, read_member
from spikeunet.engine.files.hdf5_heaps import check_heaps
from spikeunet.engine.files.hdf5_objects import text_attribute

from .keras_config import KerasArrays, KerasLayer, is_depthwise, layers_of
from .refusals import UnreadableError

WEIGHTS, CONFIG = "model.weights.h5", "config.json"
"""The members of a `.keras` archive with the arrays, and with what the layers are."""

_PARTS = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_LEFT_OUT = ("optimizer_weights", "optimizer", "metrics", "seed_generator")
_VARIABLES = "vars"
"""Keras 3 numbers a layer's arrays in a group of this name, and keeps the layer's name as its attribute."""


def read_h5(
    source: Path | io.BytesIO, file_size: int | None = None, layers: Mapping[str, KerasLayer] | None = None
) -> KerasArrays:
    """All arrays of an HDF5 file under PyTorch's names of parts: "conv1/kernel:0" becomes "conv1.weight".

    `layers` are those of a config beside the file; by default of the one in it, if any.
    """
    try:
        import h5py
    except ImportError:
        raise UnreadableError("is a file of Keras, which needs the extra: pip install spikeunet[keras]") from None
    size = source.stat().st_size if isinstance(source, Path) else file_size or 0
    left = min(MAXIMUM_BYTES, MAXIMUM_RATIO * size)
    check_heaps(source)
    with h5py.File(source, "r") as file, _remedied():
        arrays = KerasArrays(_config_in(file, source) if layers is None else layers)
        found = dict(_datasets(h5py, file))
        for path, dataset in found.items():
            left -= _checked_size(path, dataset)
            if left < 0:
                raise UnreadableError(f"declares more bytes of arrays up to {path!r:.100} than its size allows")
            name, layer, certain = _name(path, dataset, source, found)
            if name in arrays:
                raise UnreadableError(f"holds {name!r:.100} twice; give its layers names of their own")
            depthwise = certain if certain is not None else _depthwise(path, dataset, name, layer, found, arrays)
            arrays[name] = _turned(np.asarray(dataset[()]), depthwise)
    return arrays


def read_archive(path: Path) -> KerasArrays:
    """All arrays of a `.keras` archive."""
    with zipfile.ZipFile(path) as archive:
        content = _member(archive, path, WEIGHTS)
        layers = layers_of(_member(archive, path, CONFIG)) if CONFIG in archive.namelist() else {}
    return read_h5(io.BytesIO(content), len(content), layers)


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    member = archive.getinfo(name)
    fault = member_fault(member)
    if fault or member.file_size > min(MAXIMUM_BYTES, MAXIMUM_RATIO * path.stat().st_size):
        raise UnreadableError(f"{name!r} {fault or 'declares too many bytes'}; save the model again")
    return read_member(archive, member).tobytes()


def _config_in(file: Any, source: Path | io.BytesIO) -> dict[str, KerasLayer]:
    """Layers of the config that an HDF5 file of a whole model has as an attribute."""
    try:
        return layers_of(text_attribute(file, "model_config", source))
    except ValueError:
        return {}  # it is not read, and what it would have said not known


@contextmanager
def _remedied() -> Iterator[None]:
    try:
        yield
    except hdf5.Hdf5Error as fault:
        raise UnreadableError(f"{fault}; save the model again") from None


def _datasets(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Arrays by their path, without those of the optimiser; only what lies in the file itself is followed."""
    for path, item in hdf5.objects(h5py, file, _LEFT_OUT):
        if not isinstance(item, h5py.Dataset):
            raise UnreadableError(f"holds {path!r:.100}, which is no array")
        yield path.removeprefix("model_weights/"), item


def _checked_size(path: str, dataset: Any) -> int:
    """Bytes of an array that can be read without opening another file, loading a plug-in, or taking more memory."""
    with hdf5_objects.found(path):
        dtype = dataset.dtype
    if dataset.shape is None or dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise UnreadableError(
            f"holds {path!r:.100} of the type {str(dtype)[:50]}, which is not read; save plain numbers"
        )
    if hdf5.lies_elsewhere(dataset) or hdf5.unknown_filters(dataset):
        raise UnreadableError(
            f"holds {path!r:.100}, whose numbers lie elsewhere or need a plug-in; save the model again"
        )
    hdf5.check_pieces(path, dataset)
    return int(math.prod(dataset.shape) * dtype.itemsize)


def _name(
    path: str, dataset: Any, source: Path | io.BytesIO, found: Mapping[str, Any]
) -> tuple[str, str | None, bool | None]:
    """An array's name in PyTorch, its layer's in Keras, and whether it is depthwise, None where that is open."""
    *parts, last = path.split("/")
    if parts[-1:] == [_VARIABLES] and last.isdecimal():
        siblings = [found.get(f"{'/'.join(parts)}/{index}") for index in range(5)]
        part = _numbered(path, int(last), [len(item.shape or ()) for item in siblings if item is not None])
        layer = text_attribute(dataset.parent, "name", source)
        return f"{layer or '.'.join(parts[:-1])}.{part}", layer, None if part == "weight" else False
    part = last.partition(":")[0]
    if len(parts) > 1 and parts[0] == parts[1]:
        parts = parts[1:]  # Keras 2 puts a layer's arrays into a group of its name within a group of its name
    name = ".".join([*parts, _PARTS.get(part, part)])
    # Keras 3 calls a depthwise kernel "kernel", too, but writes no ":0" behind it.
    undecided = last == "kernel" and bool(parts)
    return name, parts[-1] if parts else None, None if undecided else part == "depthwise_kernel"


def _depthwise(
    path: str, dataset: Any, name: str, layer: str | None, found: Mapping[str, Any], arrays: KerasArrays
) -> bool:
    """Whether a kernel is depthwise by what the file says; where it does not, it is refused, or taken for none."""
    shape = dataset.shape
    if len(shape) < 3:
        return False
    *groups, last = path.split("/")
    numbered = last.isdecimal()
    bias = found.get("/".join([*groups, "1" if numbered else "bias"]))
    biases = None if bias is None else int(np.prod(bias.shape or ()))
    decided = is_depthwise(layer, groups[:-1] if numbered else [], arrays.layers, shape, biases)
    if decided is None and shape[-1] == 1:
        # Of one channel for each that it reads: as likely depthwise as not.
        raise UnreadableError(
            f"does not show whether the kernel {path!r:.100} is of a depthwise convolution; save the functional model "
            "as .keras, leave the layer the name that Keras gives it, or save the weights with numpy.savez under "
            "PyTorch's names"
        )
    if decided is None:
        arrays.undecided.append(name)
    return bool(decided)


def _numbered(path: str, number: int, axes: list[int]) -> str:
    """What array `number` of a layer is, by how many axes each of the layer's has."""
    if number < len(axes) and axes[0] > 1 and axes[1:] in ([], [1]):
        return ("weight", "bias")[number]
    if number < len(axes) and axes == [1, 1, 1, 1]:
        return ("weight", "bias", "running_mean", "running_var")[number]
    raise UnreadableError(
        f"numbers the arrays of a layer ({path!r:.100}) of which it does not show what they are; save the weights with "
        "numpy.savez under PyTorch's names"
    )


def _turned(array: NDArray[Any], depthwise: bool) -> NDArray[Any]:
    """An array in PyTorch's layout and the machine's order of bytes."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if depthwise and array.ndim > 2:
        array = array.reshape(*array.shape[:-2], 1, -1)
    if array.ndim < 2:
        return array
    return np.ascontiguousarray(array.transpose(-1, -2, *range(array.ndim - 2)))
