"""The kinds of synapses and joins, one file each."""

from .add import Add
from .attention import Attention
from .attention_gates import AttentionGates
from .avg_pool2d import AvgPool2d
from .concat import Concat
from .conv1d import Conv1d
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .flatten import Flatten
from .global_avg_pool2d import GlobalAvgPool2d
from .linear import Linear
from .max_pool2d import MaxPool2d
from .mean_conv2d import MeanConv2d
from .pixel_shuffle import PixelShuffle
from .pixel_unshuffle import PixelUnshuffle
from .registry import register_layer
from .scale import Scale
from .sum_pool2d import SumPool2d
from .upsample import Upsample
from .windows import padded_rows, window_fan_out, window_rows

__all__ = [
    "Add",
    "Attention",
    "AttentionGates",
    "AvgPool2d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Flatten",
    "GlobalAvgPool2d",
    "Linear",
    "MaxPool2d",
    "MeanConv2d",
    "PixelShuffle",
    "PixelUnshuffle",
    "Scale",
    "SumPool2d",
    "Upsample",
    "padded_rows",
    "register_layer",
    "window_fan_out",
    "window_rows",
]
