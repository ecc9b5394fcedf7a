"""Count the products of the analog input: all of them, and those of which no factor is zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.layer import Source
from ..graph import ZeroFanOut


def analog_macs(layer: Layer, picture: NDArray[np.float32]) -> tuple[int, int]:
    """Multiply-accumulates of a layer that reads the analog input, all and effective ones; (H, W, C), all inputs."""
    analog = [source for source in layer.sources if source.analog]
    macs = layer.fan_out.total(sum(source.channels for source in analog))
    macs += sum(layer.most_products_of(source) for source in analog)
    effective = sum(_effective_macs(layer, source.of_picture(picture), source.channel_offset) for source in analog)
    return macs, effective + _effective_products(layer, analog, picture)


def _effective_macs(layer: Layer, picture: NDArray[np.float32], channel_offset: int) -> int:
    """Products of values of the picture and weights, neither of them zero."""
    fan, zero = layer.fan_out, layer.zero_fan_out
    if picture.all():  # as nearly all pictures are that are noisy
        return fan.total(picture.shape[2]) - (0 if zero is None else _all_zeros(zero, picture.shape[2], channel_offset))
    present, total = picture != 0, 0
    for reached, columns in _columns_by_class(present, fan.rows):
        total += reached * int(columns.sum(axis=1) @ fan.columns) * fan.channels
    if zero is not None:
        channels = slice(channel_offset, channel_offset + picture.shape[2])
        for kind, columns in _columns_by_class(present, zero.row_classes):
            total -= int((zero.zeros[kind][zero.column_classes, channels] * columns).sum())
    return total


def _all_zeros(zero: ZeroFanOut, channels: int, channel_offset: int) -> int:
    """Weights of zero that numbers meet which are nowhere zero."""
    zeros = zero.zeros[:, :, channel_offset : channel_offset + channels].sum(axis=2)
    rows, columns = (np.bincount(kinds) for kinds in (zero.row_classes, zero.column_classes))
    return int(rows @ zeros[: len(rows), : len(columns)] @ columns)


def _effective_products(layer: Layer, analog: list[Source], picture: NDArray[np.float32]) -> int:
    """Products that values of the picture enter with others, none of them zero; events are taken to be there."""
    if layer.most_products is None:
        return 0
    present = np.ones((1, *layer.incoming[1:], layer.incoming[0]), np.bool_)
    for source in analog:
        present[0, ..., source.place] = source.of_picture(picture) != 0
    found = layer.products(present)
    return 0 if found is None else sum(int(found[..., source.place].sum()) for source in analog)


def _columns_by_class(
    present: NDArray[np.bool_], classes: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each class of rows and, for each column and channel, how many of its rows are present there."""
    for kind in np.unique(classes).tolist():
        yield kind, present[classes == kind].sum(axis=0, dtype=np.int64)
