"""W-Net of agaldran/lwnet (Galdran et al., arXiv 2009.01907): two small U-Nets, of which the second reads the first's.

Batch norms stand behind the ReLUs, a shortcut of 1x1 with batch norm is added to each pair of convolutions, skips go
through a convolution of their own and come behind what was upsampled. How many levels, and whether there are shortcuts
and convolutions on the skips, shows in the keys.
"""

from __future__ import annotations

from .blueprint import Blueprint
from .layers import Layers, Value

LEVELS = 2


def wnet(layers: Layers) -> None:
    """The second U-Net reads the picture and the logits of the first."""
    _assume(layers, "unet1.")
    layers.assume(second="reads the picture, then the first one's logits")
    picture = layers.input(layers.size("unet1.first.block.0", 1))
    first = _unet(layers, "unet1.", picture)
    layers.finish(_unet(layers, "unet2.", layers.concat("both", picture, first)))


def single(layers: Layers) -> None:
    """One of them alone."""
    _assume(layers, "")
    layers.finish(_unet(layers, "", layers.input(layers.size("first.block.0", 1))))


def _assume(layers: Layers, prefix: str) -> None:
    transposed = layers.has(f"{prefix}up_path.0.up_layer.block.0") or not layers.has(f"{prefix}up_path")
    upsampling = "transposed convolutions of 2x2" if transposed else "bilinear, corners not aligned"
    layers.assume(pooling="max, 2x2", concatenation="upsampled first", upsampling=upsampling)
    layers.assume(order="batch norm behind the ReLU", output="logits")


def _unet(layers: Layers, prefix: str, value: Value) -> Value:
    depth = layers.count(f"{prefix}down_path.", 0) or LEVELS
    value = _pair(layers, f"{prefix}first", value)
    skips = []
    for level in range(depth):
        skips.append(value)
        key = f"{prefix}down_path.{level}"
        value = _pair(layers, key, layers.max_pool(f"{key}.pool", value))
    for level in range(depth):
        key = f"{prefix}up_path.{level}"
        upsampled = _upsampled(layers, f"{key}.up_layer.block", value)
        skip = skips.pop()
        if layers.has(f"{key}.conv_bridge_layer"):
            skip = _convolution(layers, f"{key}.conv_bridge_layer.block", 0, skip)
        value = _pair(layers, f"{key}.conv_layer", layers.concat(f"{key}.cat", upsampled, skip))
    return layers.convolution(f"{prefix}final", value, kernel=1)


def _pair(layers: Layers, key: str, value: Value) -> Value:
    inner = _convolution(layers, f"{key}.block", 3, _convolution(layers, f"{key}.block", 0, value))
    if not layers.has(f"{key}.shortcut"):
        return inner
    shortcut = layers.convolution(f"{key}.shortcut.0", value, norm=f"{key}.shortcut.1", kernel=1)
    return layers.add(f"{key}.add", inner, shortcut)


def _convolution(layers: Layers, key: str, number: int, value: Value) -> Value:
    """A convolution, a ReLU and a batch norm."""
    fired = layers.relu(f"{key}.{number + 1}", layers.convolution(f"{key}.{number}", value))
    return layers.norm(f"{key}.{number + 2}", fired)


def _upsampled(layers: Layers, key: str, value: Value) -> Value:
    if layers.has(f"{key}.1"):
        value = layers.upsample(f"{key}.0", value, align_corners=False)
        return layers.convolution(f"{key}.1", value, kernel=1)
    return layers.transposed(f"{key}.0", value)


WNET = Blueprint("wnet", "the W-Net of agaldran/lwnet", wnet)
SINGLE = Blueprint("lwnet-unet", "the U-Net of agaldran/lwnet, half of its W-Net", single)
