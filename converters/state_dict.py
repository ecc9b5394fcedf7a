"""Read a state dict: named arrays, from a file or any mapping, checked before anything is built from them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError, first_few

from .weights import KerasArrays, Weights, from_mapping, load_weights

StateDict = dict[str, NDArray[Any]]

COUNTERS = ("num_batches_tracked", "n_averaged")
"""Last parts of the keys of integers of no use here: training batches of a batch norm, and networks in an average."""

_SAVING = "torch.save(network.state_dict(), PATH)"


def read_state_dict(state: str | os.PathLike[str] | Mapping[str, Any], entry: str | None = None) -> StateDict:
    """Named arrays of a trained network.

    Parameters
    ----------
    state : path of a file that `read_weights` reads, or mapping of str to array
        Arrays of float16, float32 or float64, as NumPy arrays or as anything that becomes one; PyTorch's tensors and
        parameters are detached and fetched from where they lie. Of a checkpoint, which holds dictionaries of arrays,
        the one with the weights is taken.
    entry : str, optional
        Name of the dictionary to take of a checkpoint.

    Returns
    -------
    dict of str to array, without counts of batches (`num_batches_tracked`) and of averaged networks (`n_averaged`)
        Under the keys that stand there, prefixes included.

    Raises
    ------
    StateDictError
        If the file cannot be read, or arrays are of another type, NaN, infinite, or beyond float32's range.
    """
    return checked(find_weights(state, entry).arrays)


def find_weights(state: Any, entry: str | None = None) -> Weights:
    """Named arrays as they stand in a file or a mapping, not checked, and how they were found.

    `state` is a path or a mapping, or has been found already and is given back.
    """
    if isinstance(state, Weights):
        return state
    if isinstance(state, Mapping):
        if isinstance(state, KerasArrays) and entry is None:
            return Weights(state)
        chosen, facts = from_mapping(state, entry)
        return Weights(_from_mapping(chosen), facts)
    if not isinstance(state, (str, os.PathLike)):
        advice = "; pass its state_dict()" if hasattr(state, "state_dict") else ""
        raise StateDictError(f"a state dict is a path or a mapping of arrays (got {type(state).__name__}){advice}")
    return load_weights(state, entry)


def checked(arrays: StateDict) -> StateDict:
    """The arrays without counters, in the machine's order of bytes.

    Raises
    ------
    StateDictError
        If there are none, or they are no floats, not finite, or beyond float32's range.
    """
    arrays = {key: array for key, array in arrays.items() if key.rpartition(".")[2] not in COUNTERS}
    if not arrays:
        raise StateDictError(f"the state dict is empty; save one with {_SAVING}")
    problems = [f"{key} ({problem})" for key, array in arrays.items() if (problem := _problem(array))]
    if problems:
        raise StateDictError(f"unusable arrays in the state dict: {first_few(problems)}; export finite float arrays")
    return {key: array.astype(array.dtype.newbyteorder("="), copy=False) for key, array in arrays.items()}


def check_keys(
    architecture: str, found: Iterable[str], required: Iterable[str], misshapen: Mapping[str, str] | None = None
) -> None:
    """Refuse a state dict that does not fit, with the keys at fault.

    Parameters
    ----------
    architecture : str
    found, required : iterable of str
        Keys that the state dict has, and those that it must have.
    misshapen : mapping of key to what is wrong with its shape

    Raises
    ------
    StateDictError
        If any key is missing, unexpected or misshapen. One line lists the first few of each kind; where fewer than half
        of the required keys are there, it says that the state dict looks like another architecture's.
    """
    found, required, misshapen = set(found), set(required), misshapen or {}
    lists = {
        "missing": sorted(required - found),
        "unexpected": sorted(found - required),
        "misshapen": [f"{key} ({problem})" for key, problem in misshapen.items()],
    }
    if not any(lists.values()):
        return
    faults = "; ".join(f"{_kind(fault, keys)}: {first_few(keys)}" for fault, keys in lists.items() if keys)
    there = len(required & found)
    if 2 * there < len(required):
        raise StateDictError(
            f"the state dict looks like another architecture than {architecture!r}, {there} of whose {len(required)} "
            f"keys it has ({faults}); name its layers alike, or build its Network yourself (docs/converting.md)"
        )
    raise StateDictError(f"the state dict does not fit the architecture {architecture!r}: {faults}")


def _kind(fault: str, keys: Sequence[str]) -> str:
    return f"{len(keys)} {fault}" if len(keys) > 1 else fault


def _from_mapping(state: Mapping[str, Any]) -> StateDict:
    arrays: StateDict = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise StateDictError(f"keys of a state dict are strings (got {key!r:.60})")
        if isinstance(value, Mapping):
            raise StateDictError(f"{key} is a mapping; pass the one that holds arrays, perhaps state[{key!r}]")
        try:
            arrays[key] = _array(value)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise StateDictError(f"{key} is no array ({reason}); pass value.detach().float().cpu().numpy()") from None
    return arrays


def _array(value: Any) -> NDArray[Any]:
    """A value as an array; a tensor, which is told by its methods, is taken off its graph and its device first."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        if str(getattr(value, "dtype", "")).endswith("bfloat16"):
            value = value.float()  # NumPy has no bfloat16; float32 holds the same numbers
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _problem(array: NDArray[Any]) -> str:
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        # What NumPy saves of bfloat16, for which it has no type.
        return f"dtype {array.dtype}{'; save bfloat16 as value.float()' if array.dtype == 'V2' else ''}"
    if not np.isfinite(array).all():
        return "NaN or infinite"
    if array.size and np.abs(array).max() > np.finfo(np.float32).max:
        return "beyond the range of float32"
    return ""
