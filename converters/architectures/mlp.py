"""A stack of full connections with numbered keys, a ReLU behind each but the last, and perhaps batch norms before it.

Names end in a number that counts up: `0`, `2`, `4` of a Sequential with its ReLUs, or with Dropout `0`, `3`, `6`;
`layers.0`, `layers.1`; `fc1`, `fc2`. Batch norms are the module behind a full connection (`1` for `0`), or `bn1` for
`fc1`.
"""

from __future__ import annotations

import math
import re

from spikeunet.engine.errors import StateDictError, first_few

from .blueprint import Blueprint
from .layers import Layers, Value

_KEY = re.compile(r"(.*?)(\d{1,4})\.weight")


def mlp(layers: Layers) -> None:
    """From the first number to the last."""
    stem, numbers = _numbered(layers)
    features = layers.size(f"{stem}{numbers[0]}", 1)
    channels, side = _picture(features)
    layers.assume(activation="ReLU between full connections", output="what the last one gives, such as logits")
    layers.assume(input=f"{channels}x{side}x{side}, in the order channel, row, column", input_size=[side, side])
    value: Value = layers.input(channels if features else None, (side, side))
    places = side * side
    for number in numbers:
        key = f"{stem}{number}"
        value = layers.linear(key, value, norm=_norm(layers, stem, number), places=places)
        places = 1
        if number != numbers[-1]:
            value = layers.relu(f"{key}.relu", value)
    layers.finish(value)


def _numbered(layers: Layers) -> tuple[str, list[int]]:
    """What stands before the numbers of the full connections, and these in order."""
    found: dict[str, list[int]] = {}
    for key, array in layers.arrays.items():
        match = _KEY.fullmatch(key)
        if match is not None and array.ndim == 2:
            found.setdefault(match[1], []).append(int(match[2]))
    if len(found) > 1:
        raise StateDictError(
            f"the full connections have several names ({first_few(map(repr, found))}), which leaves their order open; "
            "name them alike"
        )
    for stem, numbers in found.items():
        if len(numbers) > 1:
            return stem, sorted(numbers)
    return "", [0, 2]


def _norm(layers: Layers, stem: str, number: int) -> str:
    candidates = [f"{stem}{number + 1}", *(f"{name}{number}" for name in ("bn", "norm", "batch_norm"))]
    return next((key for key in candidates if layers.is_norm(key)), "")


def _picture(features: int | None) -> tuple[int, int]:
    """Channels and side of a square picture with so many samples, gray or of three colours; else single features."""
    count = features or 1
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if side > 1 and channels * side * side == count:
            return channels, side
    return count, 1


MLP = Blueprint("mlp", "full connections with ReLUs between them", mlp)
