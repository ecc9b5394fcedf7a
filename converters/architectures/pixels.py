"""Convolutions between pixels that were made channels, as convolutions of the pixels themselves.

Channel 4 c + 2 i + j is channel c at row i and column j of a block of 2x2 (PixelUnshuffle, PixelShuffle).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CENTRE = 1
"""Of a kernel of 3x3, which reads the block itself and those around it."""


def of_pixels(weight: Array) -> Array:
    """Weights (out, c + 1, 6, 6), stride 2, padding 2, for those (out, 4 c + 1, 3, 3) of blocks and of one map.

    The map has a value for each block, and here one for each pixel, of which the mean counts.
    """
    out, channels = len(weight), weight.shape[1] // 4
    blocks = weight[:, :-1].reshape(out, channels, 2, 2, 3, 3).transpose(0, 1, 4, 2, 5, 3).reshape(out, channels, 6, 6)
    level = np.repeat(np.repeat(weight[:, -1:], 2, 2), 2, 3) / 4
    return np.concatenate([blocks, level], 1)


def to_pixels(weight: Array, bias: Array | None) -> Array:
    """Weights (in + 1, c, 6, 6) of a transposed convolution, stride 2, padding 2, for those (4 c, in, 3, 3) and a bias.

    The bias differs within a block, so it is what the centre weighs a channel of ones with, the last one.
    """
    shift = np.zeros((len(weight), 1, 3, 3), weight.dtype)
    shift[:, 0, CENTRE, CENTRE] = 0 if bias is None else bias
    blocks = np.concatenate([weight, shift], 1).reshape(len(weight) // 4, 2, 2, -1, 3, 3)
    # Row 2 y + i takes from the block y + a - 1 what is at 2 (2 - a) + i of the kernel.
    turned = blocks[..., ::-1, ::-1].transpose(3, 0, 4, 1, 5, 2)
    return turned.reshape(turned.shape[0], turned.shape[1], 6, 6)
