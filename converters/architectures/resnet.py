"""torchvision's ResNet, of basic blocks (resnet18, 34) or bottlenecks (50, 101, 152), and its ResNeXt and wide ones.

How many blocks a layer has shows in the keys, widths and groups in the weights; strides are torchvision's: 2 in the
first block of all layers but the first, in bottlenecks in the convolution of 3x3.
"""

from __future__ import annotations

from .blueprint import Blueprint
from .layers import Layers, Value


def resnet(layers: Layers) -> None:
    """A stem, layer1 ..., mean, fc."""
    strides = "2 in the first block of each layer but the first, in bottlenecks in the convolution of 3x3"
    layers.assume(pooling="max, 3x3, stride 2, in the stem", strides=strides, dilation=1)
    layers.assume(output="logits of classes")
    value = layers.input(layers.size("conv1", 1))
    value = layers.relu("relu", layers.convolution("conv1", value, norm="bn1", stride=2, kernel=7))
    value = layers.max_pool("maxpool", value, 3, 2, 1)
    for number in range(1, (layers.count("layer") or 4) + 1):
        for index in range(layers.count(f"layer{number}.", 0) or 2):
            value = _block(layers, f"layer{number}.{index}", value, stride=2 if number > 1 and index == 0 else 1)
    layers.finish(layers.linear("fc", layers.global_average("avgpool", value)))


def _block(layers: Layers, key: str, value: Value, stride: int) -> Value:
    """Two convolutions of 3x3, or three of which the one in the middle has 3x3, and the shortcut around them."""
    bottleneck = layers.has(f"{key}.conv3")
    kernels = {1: 1, 2: 3, 3: 1} if bottleneck else {1: 3, 2: 3}
    strided = 2 if bottleneck else 1
    inner = value
    for number, kernel in kernels.items():
        if number > 1:
            inner = layers.relu(f"{key}.relu{number - 1}", inner)
        inner = layers.convolution(
            f"{key}.conv{number}",
            inner,
            norm=f"{key}.bn{number}",
            stride=stride if number == strided else 1,
            kernel=kernel,
            groups=bottleneck and number == 2,
        )
    if layers.has(f"{key}.downsample"):
        shortcut = f"{key}.downsample"
        value = layers.convolution(f"{shortcut}.0", value, norm=f"{shortcut}.1", stride=stride, kernel=1)
    return layers.relu(f"{key}.relu", layers.add(f"{key}.add", inner, value))


RESNET = Blueprint("resnet", "torchvision's ResNet or ResNeXt", resnet)
