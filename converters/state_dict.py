"""Read a state dict: named arrays, from an NPZ file or any mapping, checked before anything is built from them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError
from spikeunet.engine.files.archive import read_arrays

StateDict = dict[str, NDArray[Any]]

COUNTER = "num_batches_tracked"
"""Batch norm's count of training batches: an integer, of no use here."""

_PREFIX = "module."
_REMEDY = "save the state dict again with numpy.savez"
_SAVING = "numpy.savez(path, **{key: value.numpy() for key, value in network.state_dict().items()})"


def read_state_dict(state: str | os.PathLike[str] | Mapping[str, Any]) -> StateDict:
    """Named arrays of a trained network.

    Parameters
    ----------
    state : path of an NPZ file, or mapping of str to array
        Arrays of float16, float32 or float64; PyTorch tensors on the CPU will do. The prefix "module." that
        DataParallel puts before every key is taken off.

    Returns
    -------
    dict of str to array, without batch norm's `num_batches_tracked`

    Raises
    ------
    StateDictError
        If the file cannot be read, or arrays are of another type, NaN, infinite, or beyond float32's range.
    """
    arrays = _from_mapping(state) if isinstance(state, Mapping) else _from_file(state)
    if arrays and all(key.startswith(_PREFIX) for key in arrays):
        arrays = {key.removeprefix(_PREFIX): array for key, array in arrays.items()}
    arrays = {key: array for key, array in arrays.items() if key.rpartition(".")[2] != COUNTER}
    if not arrays:
        raise StateDictError(f"the state dict is empty; save one with {_SAVING}")
    problems = [f"{key} ({problem})" for key, array in arrays.items() if (problem := _problem(array))]
    if problems:
        raise StateDictError(f"unusable arrays in the state dict: {'; '.join(problems)}; export finite float arrays")
    return {key: array.astype(array.dtype.newbyteorder("="), copy=False) for key, array in arrays.items()}


def check_keys(
    architecture: str, found: Iterable[str], required: Iterable[str], misshapen: Mapping[str, str] | None = None
) -> None:
    """Refuse a state dict that does not fit, with every key at fault.

    Parameters
    ----------
    architecture : str
    found, required : iterable of str
        Keys that the state dict has, and those that it must have.
    misshapen : mapping of key to what is wrong with its shape

    Raises
    ------
    StateDictError
        If any key is missing, unexpected or misshapen; one line lists them all.
    """
    found, required, misshapen = set(found), set(required), misshapen or {}
    lists = {
        "missing": sorted(required - found),
        "unexpected": sorted(found - required),
        "misshapen": [f"{key} ({problem})" for key, problem in misshapen.items()],
    }
    if any(lists.values()):
        faults = "; ".join(f"{fault}: {', '.join(keys)}" for fault, keys in lists.items() if keys)
        raise StateDictError(f"the state dict does not fit the architecture {architecture!r}: {faults}")


def _from_file(path: Any) -> StateDict:
    if not isinstance(path, (str, os.PathLike)):
        raise StateDictError(f"a state dict is a path or a mapping of arrays (got {type(path).__name__})")
    if _is_torch_file(path):
        raise StateDictError(f"{os.fspath(path)}: is a PyTorch pickle, which is never loaded; save it with {_SAVING}")
    return read_arrays(path, StateDictError, _REMEDY)


def _is_torch_file(path: str | os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _from_mapping(state: Mapping[str, Any]) -> StateDict:
    arrays: StateDict = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise StateDictError(f"keys of a state dict are strings (got {key!r})")
        try:
            arrays[key] = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise StateDictError(f"{key} is no array ({reason}); pass value.detach().float().cpu().numpy()") from None
    return arrays


def _problem(array: NDArray[Any]) -> str:
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        return f"dtype {array.dtype}"
    if not np.isfinite(array).all():
        return "NaN or infinite"
    if array.size and np.abs(array).max() > np.finfo(np.float32).max:
        return "beyond the range of float32"
    return ""
