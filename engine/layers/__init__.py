"""The kinds of synapses and joins, one file each."""

from .avg_pool2d import AvgPool2d
from .concat import Concat
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .linear import Linear

__all__ = ["AvgPool2d", "Concat", "Conv2d", "ConvTranspose2d", "Linear"]
