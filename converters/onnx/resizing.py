"""Larger pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.layers import Upsample

from ..values import Tensor, Value
from .call import Call, operator

Array = NDArray[Any]

LONGEST_SIDE = 1 << 18


@operator("Resize")
def enlarged(call: Call) -> Tensor:
    """Upsample, where it computes the same."""
    tensor, value = call.tensor(), call.picture()
    rank = len(tensor.shape)
    factors = _factors(call, tensor)
    if rank not in (3, 4) or any(factor != 1 for factor in factors[:2]):
        call.refuse("changes other axes than height and width")
    whole = [int(factor) for factor in factors[2:]]
    if any(factor < 1 or factor != number for factor, number in zip(factors[2:], whole, strict=True)):
        call.refuse(f"makes pictures larger {[float(f) for f in factors[2:]]} times; whole factors alone have a layer")
    down, right = (1, *whole) if rank == 3 else whole
    if max(value.shape[1] * down, value.shape[2] * right) > LONGEST_SIDE:
        call.refuse("makes pictures far too large")
    mode, aligned = _mode(call, value, (down, right))
    reads = call.builder.emit(value)
    node = Upsample(call.node.name, reads.name, (down, right), mode, aligned)
    return call.result(call.current(node, reads, reads.positive))


def _factors(call: Call, tensor: Tensor) -> list[float]:
    """By how much each axis becomes longer."""
    scales, sizes = call.constant(2), call.constant(3)
    rank, axes = len(tensor.shape), call.node.attributes.get("axes")
    axes = [axis % rank for axis in axes] if axes else list(range(rank))
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        call.refuse("keeps the ratio of the sides; export it with the factor")
    found = [1.0] * rank
    given = sizes if sizes is not None and sizes.size else scales
    if given is None or given.size != len(axes):
        call.refuse("says neither factors nor sizes for all axes")
    for axis, number in zip(axes, np.ravel(given), strict=True):
        found[axis] = float(number) if given is scales else float(number) / tensor.shape[axis]
    return found


def _mode(call: Call, value: Value, factors: tuple[int, int]) -> tuple[str, bool]:
    """Mode of the Upsample that takes the same places of what it reads; refused where there is none."""
    mode = call.attribute("mode", "nearest")
    if mode not in ("nearest", "linear") or call.attribute("antialias", 0):
        call.refuse(
            f"is of the mode {mode!r:.40}{', with antialias' * bool(call.attribute('antialias', 0))}; nearest and "
            "linear have a layer"
        )
    transform = call.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    sides = list(zip(value.shape[1:], factors, strict=True))
    layer = _same_layer(call, sides, mode, transform, rounding)
    if layer is None:
        call.refuse(
            f"takes other pixels ({mode}, {transform}, {rounding}) than the layer Upsample does; export nearest with "
            "asymmetric and floor, or bilinear with half_pixel or align_corners"
        )
    return layer


def _same_layer(
    call: Call, sides: list[tuple[int, int]], mode: str, transform: str, rounding: str
) -> tuple[str, bool] | None:
    """Mode and alignment of the Upsample that reads the same places along both sides (size, factor)."""
    if mode == "nearest":
        plain = [np.arange(size * factor) // factor for size, factor in sides]
        found = [_nearest(call, *side, transform, rounding) for side in sides]
        return ("nearest", False) if all(map(np.array_equal, found, plain)) else None
    found = [_places(call, *side, transform) for side in sides]
    for aligned, wanted in ((False, "half_pixel"), (True, "align_corners")):
        layer = [_places(call, *side, wanted) for side in sides]
        if all(np.allclose(*pair, rtol=0, atol=1e-6) for pair in zip(found, layer, strict=True)):
            return "bilinear", aligned
    return None


def _places(call: Call, size: int, factor: int, transform: str) -> Array:
    """Of each output pixel along an axis the place in the input, within it."""
    outputs, length = np.arange(size * factor), size * factor
    if transform == "align_corners":
        found = outputs * ((size - 1) / max(length - 1, 1))
    elif transform == "asymmetric":
        found = outputs / factor
    elif transform in ("half_pixel", "half_pixel_symmetric") or (transform == "pytorch_half_pixel" and length > 1):
        found = (outputs + 0.5) / factor - 0.5
    elif transform == "pytorch_half_pixel":
        found = outputs * 0.0
    else:
        call.refuse(f"computes coordinates by {transform!r:.60}, for which there is no layer")
    return np.asarray(np.clip(found, 0, size - 1))


def _nearest(call: Call, size: int, factor: int, transform: str, rounding: str) -> Array:
    places = _places(call, size, factor, transform)
    roundings = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }
    if rounding not in roundings:
        call.refuse(f"rounds by {rounding!r:.60}, for which there is no layer")
    return np.asarray(np.clip(roundings[rounding], 0, size - 1))
