"""Clips made into still pictures, so that what moves and whither can be told by what learns from pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .front import split_by_sign

Array = NDArray[Any]

MOTIONS = ("raw", "split", "absolute", "signed", "flow")
"""Frames as they are; frame differences split by sign, absolute, or signed around one half; optical flow on a grid."""

FUSIONS = ("early", "late")
"""Pictures of a clip added up before the network, or its answers to them put together behind it."""


def still_pictures(clips: Array, motion: str = "split", fusion: str = "early", cell: int = 4) -> Array:
    """Pictures that show the motion in clips.

    Parameters
    ----------
    clips : (N, T, H, W)
        From 0 to 1, at least two frames.
    motion : str
        One of MOTIONS.
    fusion : "early" or "late"
    cell : int
        Pixels along a side of a cell of the flow's grid.

    Returns
    -------
    pictures : (N, P, C, H', W') float64
        From 0 to 1. P pictures for each clip: one with early fusion, T or T - 1 with late fusion.

    Raises
    ------
    InputError
        If there are no clips, or a name is unknown.
    """
    array = np.asarray(clips, np.float64)
    if array.ndim != 4 or array.shape[1] < 2:
        raise InputError(f"clips must be (N, T, H, W) with two frames or more (got the shape {array.shape})")
    if motion not in MOTIONS or fusion not in FUSIONS:
        raise InputError(
            f"motion must be one of {', '.join(MOTIONS)}, fusion early or late (got {motion!r} and {fusion!r})"
        )
    if motion == "raw":
        found = array[:, :, None]
    else:
        found = flow_grid(array, cell) if motion == "flow" else frame_differences(array, motion)
    if fusion == "late":
        return np.asarray(found)
    # A mean has the range of what it is taken of; what follows scales each picture anyway.
    return np.asarray(found.mean(axis=1, keepdims=True))


def frame_differences(clips: Array, kind: str = "split") -> Array:
    """(N, T - 1, C, H, W): each frame minus the one before.

    Split by sign in two channels (what becomes brighter, what becomes darker), absolute, or signed, from 0 to 1 with
    one half where nothing changes.
    """
    change = np.diff(clips, axis=1)
    if kind == "split":
        number, frames, height, width = change.shape
        return split_by_sign(change.reshape(-1, 1, height, width)).reshape(number, frames, 2, height, width)
    if kind not in ("absolute", "signed"):
        raise InputError(f"frame differences are split, absolute or signed (got {kind!r})")
    return (np.abs(change) if kind == "absolute" else change / 2 + 0.5)[:, :, None]


def flow_grid(clips: Array, cell: int = 4) -> Array:
    """(N, T - 1, 4, H / cell, W / cell): a motion grid, mean speeds to the right, left, down and up in each cell.

    The flow is dense optical flow from frame to frame by iterated Lucas-Kanade (scikit-image). Speeds are over the
    largest of each clip.

    Raises
    ------
    InputError
        If a cell is no part of a frame, or scikit-image is missing (extra `flow`).
    """
    optical_flow = _optical_flow()
    number, frames, height, width = clips.shape
    rows, columns = height // cell, width // cell
    if not (cell >= 1 and rows and columns):
        raise InputError(f"a grid's cell must have 1 to {min(height, width)} pixels along a side (got {cell!r})")
    found = np.zeros((number, frames - 1, 2, rows, columns))
    for clip in range(number):
        for frame in range(frames - 1):
            # The flow says where each pixel of the first picture is in the second.
            down, right = optical_flow(clips[clip, frame], clips[clip, frame + 1], radius=3, dtype=np.float64)
            speeds = np.stack([right, down])[:, : rows * cell, : columns * cell]
            found[clip, frame] = speeds.reshape(2, rows, cell, columns, cell).mean(axis=(2, 4))
    parts = split_by_sign(found.reshape(-1, 2, rows, columns)).reshape(number, frames - 1, 4, rows, columns)
    largest = parts.max(axis=(1, 2, 3, 4), keepdims=True)
    return np.asarray(parts / np.where(largest > 0, largest, 1))


def _optical_flow() -> Any:
    try:
        from skimage.registration import optical_flow_ilk
    except ImportError:
        raise InputError("optical flow needs scikit-image, which is missing; pip install 'spikeunet[flow]'") from None
    return optical_flow_ilk
