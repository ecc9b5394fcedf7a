"""Named arrays of a trained network, whatever the kind of file that holds them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError
from spikeunet.engine.files.archive import read_arrays

from . import keras_file, safetensors_file
from .beginnings import HDF5, LENGTH, PICKLES, TAR, TAR_PLACE, ZIP, is_onnx_content, stand_in
from .entries import choose
from .numpy_pickle import Array
from .refusals import UnreadableError, refusals
from .tensors import Leaf, Tensor, Unreadable
from .torch_legacy import TorchLegacy
from .torch_zip import PICKLE, TorchZip

_MODEL = {"format_version.npy", "topology.npy"}
"""Members of this project's own model files, which are NPZ files, too, and could be taken for weights."""
_REMEDY = "save the state dict again with torch.save or numpy.savez"


@dataclass(frozen=True)
class Weights:
    """Arrays, and what a user should know of how they were found.

    Attributes
    ----------
    arrays : dict of str to array
        Under the names that stand there.
    facts : dict
        "entry": name of the dictionary of a checkpoint that was taken; "other_entries": names of others that could
        have been, "" for the file's own arrays; "left_out": names of what in it is no array. Only those that apply.
    source : path, optional
        The file.
    """

    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None


def read_weights(path: str | os.PathLike[str], entry: str | None = None) -> dict[str, NDArray[Any]]:
    """Named arrays of a file: NPZ, safetensors, PyTorch (.pt, .pth, .ckpt; both its formats), or Keras.

    No framework takes part, no pickle is executed, and no more memory is taken than some multiple of the file's size.
    What kind of file it is shows in its content, not in its name.

    Parameters
    ----------
    path : str or path-like
    entry : str, optional
        Of a checkpoint that holds several dictionaries of arrays, the name of the one to read, such as "params_ema";
        by default the one that looks most like the network's weights (docs/converting.md).

    Returns
    -------
    dict of str to array, in the file's order
        Of the types in the file, in the machine's order of bytes; bfloat16, which NumPy does not have, becomes float32.
        Arrays may be read-only, and share memory where they do in the file. Keras's layouts become PyTorch's.

    Raises
    ------
    StateDictError
        If the file cannot be read, holds no weights or several without `entry` to tell, names anything but weights, or
        has numbers that are not read (complex, quantised, sparse).
    """
    return load_weights(path, entry).arrays


def load_weights(path: str | os.PathLike[str], entry: str | None = None) -> Weights:
    """What `read_weights` reads, with what there is to say of it."""
    path = Path(path)
    if not path.exists():
        raise StateDictError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise StateDictError(f"{path}: is not a file; give the path of a file of weights")
    with refusals(path, "a file of weights"), open(path, "rb") as stream:
        begin = stream.read(LENGTH)
    instead = stand_in(begin)
    if instead:
        raise StateDictError(f"{path}: {instead}")
    return replace(_read(path, begin, entry), source=path)


def from_mapping(state: Mapping[str, Any], entry: str | None = None) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Of a checkpoint as a mapping that holds mappings, the one with the weights, and the facts; any other as it is."""
    if entry is None and not any(isinstance(value, Mapping) for value in state.values()):
        return state, {}
    try:
        chosen, others = choose(state, entry, lambda value: bool(getattr(value, "ndim", 0)))
    except StateDictError as fault:
        raise StateDictError(f"the state dict {fault}") from None
    return chosen.content, _facts(chosen.name, others, [])


def _read(path: Path, begin: bytes, entry: str | None) -> Weights:
    if begin[:2] in PICKLES:
        return _from_torch(path, TorchLegacy, "a PyTorch file of the old format", entry)
    if begin[TAR_PLACE:] == TAR:
        raise StateDictError(f"{path}: is a tar archive, as PyTorch wrote before 0.2; load it there and save it again")
    if begin.startswith(HDF5):
        return _flat(path, keras_file.read_h5, "an HDF5 file", entry)
    if begin.startswith(ZIP):
        return _from_zip(path, entry)
    if is_onnx_content(path, begin):
        raise StateDictError(f"{path}: is an ONNX file, which holds a network and not weights alone; convert it")
    if safetensors_file.is_safetensors(path, begin):
        return _flat(path, safetensors_file.read, "a safetensors file", entry)
    if path.suffix.lower() != ".npz":
        raise StateDictError(
            f"{path}: is no NPZ, PyTorch, safetensors, Keras, ONNX or NIR file, or is truncated or damaged; {_REMEDY}"
        )
    return _from_npz(path, entry)


def _from_zip(path: Path, entry: str | None) -> Weights:
    names = _member_names(path)
    if any(name.rpartition("/")[2] == PICKLE for name in names):
        return _from_torch(path, TorchZip, "a PyTorch file", entry)
    if keras_file.WEIGHTS in names:
        return _flat(path, keras_file.read_archive, "a Keras file", entry)
    if _MODEL.issubset(names):
        raise StateDictError(f"{path}: is a model of spikeunet already, which needs no conversion; load_model reads it")
    return _from_npz(path, entry)


def _from_npz(path: Path, entry: str | None) -> Weights:
    return _flat(path, lambda npz: read_arrays(npz, StateDictError, _REMEDY), "an NPZ file", entry)


def _member_names(path: Path) -> list[str]:
    """Names in a zip archive; none where it is damaged, which the reader of NPZ files then says."""
    try:
        with refusals(path, "a zip archive"), zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except StateDictError:
        return []


def _flat(path: Path, read: Callable[[Path], dict[str, NDArray[Any]]], kind: str, entry: str | None) -> Weights:
    """A file of arrays by name, without dictionaries within."""
    if entry is not None:
        raise StateDictError(f"{path}: is {kind} and has no entries; leave {entry!r:.100} out")
    with refusals(path, kind):
        arrays = read(path)
    if not arrays:
        raise StateDictError(f"{path}: is {kind} without arrays; {_REMEDY}")
    return Weights(arrays)


def _from_torch(path: Path, reader: type[TorchZip | TorchLegacy], kind: str, entry: str | None) -> Weights:
    with refusals(path, kind):
        file = reader(path)
        try:
            chosen, others = choose(file.root, entry, _is_weight, _has_axes)
        except StateDictError as fault:
            raise UnreadableError(str(fault)) from None
        leaves = {name: leaf for name, leaf in chosen.content.items() if isinstance(leaf, Leaf)}
        left_out = [name for name in chosen.content if name not in leaves]
        return Weights(file.arrays(leaves), _facts(chosen.name, others, left_out))


def _is_weight(value: object) -> bool:
    """Whether a value is an array with axes, and not of integers, as states of generators are."""
    integers = isinstance(value, Tensor) and value.element.name.startswith(("int", "uint", "bool"))
    return _has_axes(value) and not integers


def _has_axes(value: object) -> bool:
    """Whether a value is an array with axes, or one that is refused by name when it is wanted."""
    return isinstance(value, (Array, Unreadable)) or (isinstance(value, Tensor) and bool(value.shape))


def _facts(name: str, others: list[str], left_out: list[str]) -> dict[str, Any]:
    facts = {"entry": name, "other_entries": others, "left_out": left_out}
    return {key: value for key, value in facts.items() if value}
