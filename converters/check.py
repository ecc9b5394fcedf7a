"""Hold a converted network against the outputs that the user's own framework gives."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeunet.engine.arrays import as_array
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import InputError, SpikeunetError
from spikeunet.engine.files.archive import read_arrays
from spikeunet.engine.graph import Network

from .onnx.imported import Ending, picture_shape

LARGEST_ERROR = 1e-3
"""Largest difference to the outputs, relative to the largest of them, of a network that was understood: sums in another
order make some 1e-6."""

Array = NDArray[Any]
Check = tuple[ArrayLike, ArrayLike] | str | os.PathLike[str]


def relative_error(network: Network, check: Check, endings: Sequence[Ending] = ()) -> float:
    """Largest difference between the network's outputs in its analog form (ANN) and those wanted.

    Parameters
    ----------
    network : Network
    check : (inputs, outputs), or path of an NPZ file with arrays of these names
        What the user's framework read, (N, C, H, W), (N, C, length) or (N, C) float, and what it put out, N first.
    endings : sequence of Ending
        Functions that follow the network.

    Returns
    -------
    float
        Divided by the largest of the outputs' sizes.

    Raises
    ------
    InputError
        If these are no such arrays, of another size than the network's, or outputs that are all 0.
    """
    try:
        return _relative_error(network, _given(check), endings)
    except (SpikeunetError, OSError) as fault:
        if not named(check) or str(check) in str(fault):
            raise
        raise InputError(f"{check}: {fault}") from None


def _relative_error(network: Network, given: tuple[Any, ...], endings: Sequence[Ending]) -> float:
    inputs, wanted = (_checked(name, array) for name, array in zip(_NAMES, given, strict=True))
    if len(inputs) != len(wanted):
        raise InputError(f"the check has {len(inputs)} inputs and {len(wanted)} outputs; the first axis counts both")
    if not 2 <= inputs.ndim <= 4:
        raise InputError(f"inputs of the check must be (N, C, H, W), (N, C, length) or (N, C) (got {inputs.shape})")
    found = forward(network, inputs.reshape(len(inputs), *_shape_read(network, inputs.shape)))[0].astype(np.float64)
    for ending in endings:
        found = ending.apply(found)
    if found.size != wanted.size:
        raise InputError(
            f"outputs of the check have the shape {wanted.shape}, but the network puts out {found.shape}; give what "
            "your framework puts out for the inputs"
        )
    largest = float(np.abs(wanted).max())
    if not largest:
        raise InputError("all outputs of the check are 0, which a silent network has, too; give inputs from your data")
    return float(np.abs(found.reshape(wanted.shape) - wanted).max()) / largest


def named(check: object) -> str:
    """What a check's file is called, without its folder; nothing where it is no file."""
    return Path(check).name if isinstance(check, (str, os.PathLike)) else ""


def require_agreement(error: float, check: object = None, *, force: bool) -> None:
    """InputError where the error is too large for rounding, unless `force`."""
    if not error <= LARGEST_ERROR and not force:
        where = f"{check}: " if named(check) else ""
        raise InputError(
            f"{where}the network was misunderstood: its outputs differ by {error:.2g} of the largest output from those "
            f"of the check, more than {LARGEST_ERROR:g}; see that both are of one network in evaluation mode and of "
            "the same inputs, or convert it nevertheless (--force, force=True)"
        )


_NAMES = ("inputs", "outputs")


def _shape_read(network: Network, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of what the network reads; features (N, C H W) where it takes them as pictures of one size."""
    pictures = (network.input.channels, *network.metadata.get("conversion", {}).get("input_size", ()))
    if len(pictures) == 3 and len(shape) == 2 and shape[1] == math.prod(pictures):
        return pictures
    return picture_shape(shape)


def _given(check: Any) -> tuple[Any, ...]:
    if isinstance(check, (str, os.PathLike)):
        path = Path(check)
        arrays = read_arrays(path, InputError, "save it with numpy.savez(PATH, inputs=..., outputs=...)")
        missing = [name for name in _NAMES if name not in arrays]
        if missing:
            raise InputError(f"{path}: has no array {' and '.join(missing)}; save inputs= and outputs= (numpy.savez)")
        return tuple(arrays[name] for name in _NAMES)
    if not isinstance(check, (tuple, list)) or len(check) != 2:
        raise InputError(f"check must be (inputs, outputs) or the path of an NPZ file (got {type(check).__name__})")
    return tuple(check)


def _checked(name: str, value: Any) -> Array:
    if hasattr(value, "detach"):
        # NumPy has no bfloat16.
        value = (value.float() if value.is_floating_point() else value).detach().cpu().numpy()
    array = as_array(value, name)
    if array.dtype.kind != "f" or array.ndim < 2 or not array.size:
        raise InputError(f"{name} of the check must be floats, N pictures first (got {array.dtype} {array.shape})")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name} of the check have values that are NaN or infinite")
    return array
