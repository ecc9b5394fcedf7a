"""What a caller gives for an array, as an array of numbers, or a named error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, SpikeunetError


def as_array(value: object, what: str, error: type[SpikeunetError] = InputError) -> NDArray[Any]:
    """`value` as an array of numbers.

    Parameters
    ----------
    value : array-like
        A tensor, which PyTorch does not give away while it is trained or on a GPU, is copied.
    what : str
        How a message names it.
    error : class
        What is raised.

    Raises
    ------
    error
        If it is no array of numbers, as None and lists of rows of different length are none, or values are masked.
    """
    parts = value if isinstance(value, (list, tuple)) else [value]
    masks = [np.ma.getmaskarray(part) for part in parts if isinstance(part, np.ma.MaskedArray)]
    if any(mask.any() for mask in masks):
        count = sum(int(mask.sum()) for mask in masks)
        raise error(f"{count} values of {what} are masked, and all are needed; replace them with .filled(...)")
    try:
        array = np.asarray(_detached(value))
    except MemoryError:
        raise
    except Exception as problem:  # noqa: BLE001
        # Other packages' arrays raise nearly anything where they cannot become one of NumPy.
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise error(f"{what} must be an array of real numbers (got {type(value).__name__}: {reason[:120]})") from None
    if array.dtype.kind not in "biuf":
        found = repr(value)[:40] if array.ndim == 0 else f"{type(value).__name__} of {array.dtype}"
        raise error(f"{what} must be an array of real numbers (got {found})")
    return array


def _detached(value: Any) -> Any:
    """A tensor's numbers; everything else as it is."""
    if all(hasattr(value, name) for name in ("detach", "cpu", "numpy")):
        return value.detach().cpu().numpy()
    return value
