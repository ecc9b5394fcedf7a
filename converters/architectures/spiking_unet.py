"""The Spiking-UNet of Li et al., arXiv 2307.10974, with the names of its reference implementation.

Levels of two convolutions and an average pooling, two convolutions at the bottom, then as many times a transposed
convolution, a concatenation (skip first, upsampled second) and two convolutions, and a last one, which has no neuron.
The reference has four levels, and so conv1 ... conv19; how many there are shows in the keys. Widths, kernel sizes and
the number of channels in and out come from the weights.
"""

from __future__ import annotations

from ..batch_norm import batch_norm_name
from .blueprint import Blueprint
from .layers import Layers, Value

DEPTH = 4
"""Number of poolings, of transposed convolutions and of skips in the reference implementation."""

CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 4 * DEPTH + 4))
TRANSPOSED = tuple(f"convtranspose{number}" for number in range(1, DEPTH + 1))
LAYERS = (*CONVOLUTIONS, *TRANSPOSED)


def layer_sources() -> dict[str, tuple[str, ...]]:
    """For each layer of the reference but conv1, the layers whose channels it reads, in order; in topological order."""
    sources: dict[str, tuple[str, ...]] = {}
    last, number, skips = "conv1", 2, ["conv2"]
    for level in range(DEPTH + 1):
        for _ in range(1 if level == 0 else 2):
            sources[f"conv{number}"] = (last,)
            last, number = f"conv{number}", number + 1
        skips.append(last)
    skips = skips[1 : DEPTH + 1]
    for transposed in TRANSPOSED:
        sources[transposed] = (last,)
        sources[f"conv{number}"] = (skips.pop(), transposed)
        sources[f"conv{number + 1}"] = (f"conv{number}",)
        last, number = f"conv{number + 1}", number + 2
    sources[f"conv{number}"] = (last,)
    return sources


def spiking_unet(layers: Layers) -> None:
    """From the first convolution to the last."""
    layers.assume(pooling="average", concatenation="skip first")
    depth = layers.count("convtranspose") or DEPTH
    value, skips = layers.input(layers.size("conv1", 1)), []
    for level in range(1, depth + 1):
        skips.append(_pair(layers, 2 * level - 1, value))
        value = layers.relu(f"pooling{level}", layers.average_pool(f"average_pool{level}", skips[-1]))
    value = _pair(layers, 2 * depth + 1, value)
    for level in range(1, depth + 1):
        name = f"convtranspose{level}"
        upsampled = layers.transposed(name, value, norm=_norm(layers, name), kernel=3)
        # The reference implementation's own spelling.
        upsampled = layers.relu(f"relu_convtranpose{level}", upsampled)
        joined = layers.concat(f"concat{level}", skips.pop(), upsampled)
        value = _pair(layers, 2 * depth + 1 + 2 * level, joined)
    last = f"conv{4 * depth + 3}"
    layers.finish(layers.convolution(last, value, norm=_norm(layers, last)))


def _pair(layers: Layers, number: int, value: Value) -> Value:
    for index in (number, number + 1):
        name = f"conv{index}"
        value = layers.relu(f"relu{index}", layers.convolution(name, value, norm=_norm(layers, name)))
    return value


def _norm(layers: Layers, layer: str) -> str:
    norm = batch_norm_name(layer)
    return norm if layers.has(norm) else ""


SPIKING_UNET = Blueprint("spiking-unet", "the Spiking-UNet of the reference implementation", spiking_unet)
