"""Fold batch normalisation into the convolution before it, in float64.

With running mean m, running variance s, gain g and offset b, a batch norm in evaluation mode computes
g * (y - m) / sqrt(s + epsilon) + b. For y = W x + c this is the convolution with g / sqrt(s + epsilon) * W and
g / sqrt(s + epsilon) * (c - m) + b.

Naming: `bnN` follows convN and `bn_convtransposeN` follows convtransposeN, each with running_mean and running_var and,
where affine, weight and bias. A convolution before a batch norm may lack its bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError, first_few

from .state_dict import StateDict

EPSILON = 1e-5
"""PyTorch's default; it is not part of a state dict."""

STATISTICS = ("running_mean", "running_var")
PARAMETERS = ("weight", "bias")


def batch_norm_name(layer: str) -> str:
    """Name of the batch norm behind a convolution: bn3 for conv3, bn_convtranspose1 for convtranspose1."""
    number = layer.removeprefix("conv")
    return f"bn{number}" if number.isdecimal() else f"bn_{layer}"


def fold_batch_norm(
    state: Mapping[str, NDArray[Any]],
    layers: Iterable[str],
    epsilon: float = EPSILON,
) -> StateDict:
    """The state dict with the batch norms behind `layers` folded into them; layers without one stay as they are.

    Parameters
    ----------
    state : mapping of str to array
    layers : iterable of str
        Convolutions. Those whose name starts with "convtranspose" have PyTorch's transposed layout (in, out, H, W).
    epsilon : float
        The batch norms' epsilon.

    Returns
    -------
    dict of str to array, float64 where folded, without the batch norms' keys

    Raises
    ------
    StateDictError
        If a batch norm lacks keys, its shapes do not fit, a variance is negative, or epsilon is not positive.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise StateDictError(f"the epsilon of batch norm must be positive (got {epsilon})")
    folded = dict(state)
    faults: list[str] = []
    for layer in layers:
        norm = batch_norm_name(layer)
        keys = [f"{norm}.{part}" for part in (*PARAMETERS, *STATISTICS)]
        if f"{layer}.weight" in folded and any(key in folded for key in keys):
            parts = {key.rpartition(".")[2]: folded.pop(key) for key in keys if key in folded}
            fault = norm_fault(parts, _output_channels(layer, folded))
            if fault:
                faults.append(f"{norm} ({fault})")
            else:
                folded |= _folded(layer, folded, parts, epsilon)
    if faults:
        raise StateDictError(f"batch norms in the state dict do not fit: {first_few(faults)}; export the whole network")
    return folded


def _output_channels(layer: str, state: StateDict) -> int:
    """Length of the weight's output axis, 0 where the weight is no convolution's."""
    weight = state[f"{layer}.weight"]
    return int(weight.shape[_output_axis(layer)]) if weight.ndim == 4 else 0


def _output_axis(layer: str) -> int:
    return 1 if layer.startswith("convtranspose") else 0


def norm_fault(parts: Mapping[str, NDArray[Any]], channels: int) -> str:
    """What is wrong with a batch norm's arrays, given the channels that it is for; "" for nothing."""
    missing = [name for name in STATISTICS if name not in parts]
    if missing:
        return f"missing {', '.join(missing)}"
    if ("weight" in parts) != ("bias" in parts):
        return "has only one of weight and bias"
    misshapen = [f"{name} {array.shape}" for name, array in parts.items() if array.shape != (channels,)]
    if misshapen:
        return f"expected shape ({channels},), got {', '.join(misshapen)}"
    return "running_var is negative" if (parts["running_var"] < 0).any() else ""


def _folded(layer: str, state: StateDict, parts: Mapping[str, NDArray[Any]], epsilon: float) -> StateDict:
    arrays = state[f"{layer}.weight"], state.get(f"{layer}.bias")
    weight, bias = folded_into(*arrays, parts, epsilon, _output_axis(layer))
    return {f"{layer}.weight": weight, f"{layer}.bias": bias}


def folded_into(
    weight: NDArray[Any], bias: NDArray[Any] | None, parts: Mapping[str, NDArray[Any]], epsilon: float, axis: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias, float64, with a batch norm's arrays folded in; outputs lie along an axis of the weight."""
    mean, variance = (parts[name].astype(np.float64) for name in STATISTICS)
    gain = parts.get("weight", np.float64(1)) / np.sqrt(variance + epsilon)
    shape = [1] * weight.ndim
    shape[axis] = -1
    before = np.zeros_like(mean) if bias is None else bias
    return weight.astype(np.float64) * gain.reshape(shape), (before - mean) * gain + parts.get("bias", np.float64(0))
