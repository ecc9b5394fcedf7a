"""What batches give, checked: anything that has a `draw` can be trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Array = NDArray[Any]


def check_batch(batch: Any, channels: int) -> None:
    """InputError unless inputs of a batch are an array (N, H, W, channels) of finite floating-point numbers."""
    wanted = f"inputs of a batch must be a floating-point array, pictures x height x width x {channels} channel(s)"
    if not isinstance(batch, np.ndarray) or not np.issubdtype(batch.dtype, np.floating):
        raise InputError(f"{wanted} (got {_said(batch)})")
    if batch.ndim != 4 or batch.shape[3] != channels or not batch.size:
        raise InputError(f"{wanted}, none of them 0 (got {_said(batch)})")
    if not np.isfinite(batch).all():
        raise InputError("inputs of a batch must be finite (got NaN or infinities); look at where they come from")


def check_target(loss: str, target: Any, output: Array) -> None:
    """InputError unless targets of a batch are as its outputs (N, H, W, O), or labels (N, H, W) of O classes."""
    if not isinstance(target, np.ndarray):
        raise InputError(f"targets of a batch must be an array (got {_said(target)})")
    if loss == "cross-entropy":
        _check_labels(target, output)
    elif target.shape != output.shape or not np.issubdtype(target.dtype, np.floating):
        raise InputError(
            f"targets of a batch must be floating-point numbers of the shape of the network's outputs, "
            f"{_by(output.shape)} (got {_said(target)})"
        )


def _check_labels(target: Array, output: Array) -> None:
    *shape, classes = output.shape
    if target.shape != tuple(shape) or not np.issubdtype(target.dtype, np.integer):
        raise InputError(f"labels of a batch must be whole numbers, {_by(tuple(shape))} (got {_said(target)})")
    highest = int(target.max(initial=0))
    if highest >= classes:
        raise InputError(
            f"labels of a batch must be below {classes}, the network's number of classes (got {highest}); "
            "negative ones do not count"
        )


def _said(value: Any) -> str:
    return f"{_by(value.shape)} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
