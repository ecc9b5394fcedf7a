"""Pictures as `simulate` takes them: one, a batch, or over time; several inputs joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError
from ..float32 import all_finite, without_subnormals
from ..graph import Network
from ..joined_inputs import joined_inputs
from .event_inputs import Streams


def check_input(
    network: Network, x: ArrayLike | Mapping[str, ArrayLike], time_axis: int | None
) -> tuple[NDArray[np.float32], bool]:
    """Pictures, (N, C, H, W) or with a time axis (N, T, C, H, W), and whether they are a batch; else InputError."""
    if time_axis is None:
        pictures = _as_pictures(joined_inputs(network, x), (3, 4), "(C, H, W) or (N, C, H, W)")
        return (pictures, True) if pictures.ndim == 4 else (pictures[None], False)
    shapes = "(T, C, H, W), or (N, T, C, H, W) with time_axis=1, or (T, N, C, H, W) with time_axis=0,"
    pictures = _as_pictures(joined_inputs(network, x, (4, 5)), (4, 5), shapes)
    allowed = (0,) if pictures.ndim == 4 else (0, 1)
    whole = isinstance(time_axis, (int, np.integer)) and not isinstance(time_axis, bool)
    if not whole or time_axis not in allowed:
        names = " or ".join(map(str, allowed))
        raise InputError(f"time_axis must be {names} of an x with {pictures.ndim} axes (got {time_axis!r})")
    if pictures.ndim == 4:
        return pictures[None], False
    return (pictures if time_axis == 1 else np.moveaxis(pictures, 0, 1)), True


def check_pictures(network: Network, x: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    """One picture, (C, H, W), as `simulate` takes it; InputError where it is none."""
    picture, batched = check_input(network, x, None)
    if batched:
        raise InputError(f"x must have the shape (C, H, W), a single picture (got {picture.shape})")
    single: NDArray[np.float32] = picture[0]
    return single


def shown_steps(pictures: NDArray[np.float32], time_axis: int | None, streams: Sequence[Streams] | None) -> int | None:
    """Steps that the input has; None where it does not change."""
    along_axis = pictures.shape[1] if time_axis is not None else None
    if streams is None:
        return along_axis
    of_events = next(iter(streams[0].values())).steps
    if along_axis not in (None, of_events):
        raise InputError(f"all inputs must have as many steps (got {along_axis} of arrays and {of_events} of events)")
    return of_events


def _as_pictures(x: ArrayLike, axes: tuple[int, ...], shapes: str) -> NDArray[np.float32]:
    array = as_array(x, "x")
    if array.dtype.kind != "f":
        raise InputError(f"x must be floating-point, float32 for instance (got {array.dtype}); divide integers by 255")
    if array.ndim not in axes or not array.size:
        raise InputError(f"x must have the shape {shapes.rstrip(',')}, none of them 0 (got {array.shape})")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not all_finite(array):
        raise InputError("x has values that are NaN or infinite in float32; replace them")
    return without_subnormals(array)


def shown_pictures(
    picture: NDArray[np.float32], steps: int, analog: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Each picture that is shown, (H, W, C), and for how many steps; one that stays the same is one.

    `analog` says which channels are an analog input: nobody sees the others change but encoders.
    """
    if picture.ndim == 3:
        yield np.ascontiguousarray(picture.transpose(1, 2, 0)), steps
        return
    first = 0
    for step in range(1, steps + 1):
        if step == steps or not np.array_equal(picture[step][analog], picture[first][analog]):
            yield np.ascontiguousarray(picture[first].transpose(1, 2, 0)), step - first
            first = step
