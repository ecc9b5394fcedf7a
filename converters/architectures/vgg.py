"""torchvision's VGG, with and without batch norms: a chain of convolutions, ReLUs and max pools, then full connections.

Modules are numbered, those without arrays included, so the numbers say where a pool stands: one is left out between two
convolutions for a ReLU, two for a ReLU and a pool. The last pool is taken for granted.
"""

from __future__ import annotations

import itertools
import math

from .blueprint import Blueprint
from .layers import Layers, Value


def vgg(layers: Layers) -> None:
    """features, and classifier."""
    chain, pools = _features(layers)
    places, side = _pooled_size(layers, chain)
    last = f"features.{max(chain)}"
    layers.assume(pooling="max, 2x2, also behind the last convolution", output="logits of classes")
    layers.assume(input_size=[side << len(pools)] * 2)
    value: Value = layers.input(layers.size("features.0", 1), (side << len(pools),) * 2)
    for number, norm in chain.items():
        value = layers.convolution(f"features.{number}", value, norm=norm, kernel=3)
        value = layers.relu(f"features.{number}.relu", value)
        if number in pools:
            value = layers.max_pool(f"features.{number}.pool", value)
    layers.require(f"{last}.weight", "is not the last of at least two convolutions", len(chain) > 1)
    numbers = [0, 3, 6] if not layers.has("classifier") else layers.numbers("classifier")
    for number in numbers:
        value = layers.linear(f"classifier.{number}", value, places=places)
        places = 1
        if number != numbers[-1]:
            value = layers.relu(f"classifier.{number}.relu", value)
    layers.finish(value)


def _features(layers: Layers) -> tuple[dict[int, str], set[int]]:
    """Numbers of the convolutions, each with the key of its batch norm or "", and of those before a pool."""
    numbers = layers.numbers("features")
    norms = {number for number in numbers if layers.is_norm(f"features.{number}")}
    convolutions = [number for number in numbers if number not in norms] or [0, 3]
    chain = {number: f"features.{number + 1}" if number + 1 in norms else "" for number in convolutions}
    left_out = {
        number: follower - number - (2 if chain[number] else 1) for number, follower in itertools.pairwise(convolutions)
    }
    for number, count in left_out.items():
        problem = f"is followed by {count} modules without arrays, not by a ReLU and perhaps a pool"
        layers.require(f"features.{number}.weight", problem, count in (1, 2))
    return chain, {number for number, count in left_out.items() if count == 2} | {convolutions[-1]}


def _pooled_size(layers: Layers, chain: dict[int, str]) -> tuple[int, int]:
    """Pixels that the first full connection reads of each channel, and their root: 49 and 7 for pictures of 224x224."""
    channels, features = layers.size(f"features.{max(chain)}", 0), layers.size("classifier.0", 1)
    if channels is None or features is None:
        return 49, 7
    side = max(1, math.isqrt(features // channels))
    return side * side, side


VGG = Blueprint("vgg", "torchvision's VGG, with or without batch norms", vgg)
