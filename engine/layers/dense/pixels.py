"""Channels as pixels and pixels as channels: what pixel shuffles do in one direction, their gradients in the other."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def as_pixels(values: Array, factor: int) -> Array:
    """(M, H, W, C * r * r) as (M, r * H, r * W, C); the channel c * r * r + i * r + j is at row i, column j."""
    many, height, width, channels = values.shape
    blocks = values.reshape(many, height, width, channels // factor**2, factor, factor)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(many, height * factor, width * factor, -1)


def as_channels(values: Array, factor: int) -> Array:
    """The inverse of `as_pixels`."""
    many, height, width, channels = values.shape
    blocks = values.reshape(many, height // factor, factor, width // factor, factor, channels)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(many, height // factor, width // factor, -1)
