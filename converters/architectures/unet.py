"""milesial's Pytorch-UNet: two convolutions with batch norm a level, max pooling, and the skip before the upsampled.

With `up1.up` in its keys it upsamples by transposed convolutions of 2x2, without by interpolation. The number of levels
shows in the keys (four in the original), widths in the weights.
"""

from __future__ import annotations

from .blueprint import Blueprint
from .layers import Layers, Value

LEVELS = 4
"""In the original, for a state dict that has no level at all."""


def unet(layers: Layers) -> None:
    """inc, down1 ..., up1 ..., outc."""
    transposed = layers.has("up1.up")
    upsampling = "transposed convolutions of 2x2" if transposed else "bilinear, corners aligned"
    layers.assume(pooling="max, 2x2", concatenation="skip first", upsampling=upsampling, output="logits")
    depth = layers.count("down") or LEVELS
    value = _pair(layers, "inc", "inc.double_conv", layers.input(layers.size("inc.double_conv.0", 1)))
    skips = []
    for level in range(1, depth + 1):
        skips.append(value)
        pooled = layers.max_pool(f"down{level}.pool", value)
        value = _pair(layers, f"down{level}", f"down{level}.maxpool_conv.1.double_conv", pooled)
    for level in range(1, depth + 1):
        name = f"up{level}"
        if transposed:
            upsampled = layers.transposed(f"{name}.up", value)
        else:
            upsampled = layers.upsample(f"{name}.up", value, align_corners=True)
        joined = layers.concat(f"{name}.cat", skips.pop(), upsampled)
        value = _pair(layers, name, f"{name}.conv.double_conv", joined)
    layers.finish(layers.convolution("outc.conv", value, kernel=1))


def _pair(layers: Layers, name: str, key: str, value: Value) -> Value:
    """Two convolutions, each with batch norm and ReLU."""
    for index, number in enumerate((0, 3), 1):
        value = layers.convolution(f"{key}.{number}", value, name=f"{name}.conv{index}", norm=f"{key}.{number + 1}")
        value = layers.relu(f"{name}.relu{index}", value)
    return value


UNET = Blueprint("unet", "the U-Net of milesial/Pytorch-UNet", unet)
