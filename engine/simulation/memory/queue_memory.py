"""Memory that a layer's bands write their events into, used again from layer to layer, and by later runs.

There is room for the events of all neurons. What is not written to is never fetched from the system, and what was
written to once is not fetched again: fresh memory would cost more than writing the events.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...events import EventQueue, channel_type, level_type, mask_bytes
from ...kernels.entries import host_compresses, host_packs, lanes_token, orders_of_lanes
from ...kernels.processor import host_lanes
from ...memory import CACHE_LINE, worked_out_once

MOST_BYTES = 1 << 27
"""A layer that may need more than this for its events gets no such room: those of each band are then kept apart."""

MOST_SHARED_BYTES = 1 << 30
"""A program whose events may need more than this has no room for those of any layer."""

_GAP = 128
"""Entries between the bands: kernels may write a vector more than there are, and threads share no cache line."""

_COMPRESSES, VECTOR_BYTES = host_compresses(), 64


@worked_out_once()
def compress_token(padded: int, channels: int, steps: int) -> tuple[int, ...] | NDArray[np.uint8] | None:
    """What tells `compact_rows` how many words to pack at once; None where it has to go one by one."""
    widest = max(np.dtype(kind).itemsize for kind in (channel_type(channels), level_type(steps)))
    if not _COMPRESSES:
        return orders_of_lanes() if host_packs() and widest <= 4 else None
    lanes = VECTOR_BYTES // widest
    return lanes_token(lanes if padded % lanes == 0 else host_lanes())


def empty_queue(layer: Layer, steps: int, block: NDArray[np.uint8]) -> EventQueue:
    """Where the events of a layer go over some steps: a queue whose bands, of one row or more, have gaps between them.

    `block`, (block_bytes(layer, steps),), begins at a cache line.
    """
    channels, height, width = layer.outgoing
    sizes = _part_bytes(layer, steps)
    edges = accumulate(map(_whole_lines, sizes), initial=0)
    start, entries, levels, masks = (block[edge : edge + size] for edge, size in zip(edges, sizes, strict=False))
    by_row = start.view(np.int64).reshape(height, width + 1)
    known = masks.reshape(height, width, -1) if masks.size else None
    arrays = by_row, entries.view(channel_type(channels)), levels.view(level_type(steps)), known
    return EventQueue(layer.outgoing, steps, *arrays)


def first_entries(layer: Layer, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the entries of all bands begin in such a queue, whose first rows are `rows`."""
    channels, _, width = layer.outgoing
    lines = -(-rows * (width * channels) // CACHE_LINE)
    return lines * CACHE_LINE + np.arange(len(rows)) * _GAP


def block_bytes(layer: Layer, steps: int) -> int:
    """Bytes of an `empty_queue`."""
    return sum(map(_whole_lines, _part_bytes(layer, steps)))


def _part_bytes(layer: Layer, steps: int) -> list[int]:
    """Bytes of start, channels, levels and masks."""
    channels, height, width = layer.outgoing
    channel, level = np.dtype(channel_type(channels)), np.dtype(level_type(steps))
    entries = _whole_lines(channels * height * width) + height * _GAP
    of_masks = height * width * mask_bytes(channels) if host_compresses() else 0
    return [8 * height * (width + 1), channel.itemsize * entries, level.itemsize * entries, of_masks]


def _whole_lines(size: int) -> int:
    return -(-size // CACHE_LINE) * CACHE_LINE


def memory_places(
    layers: Sequence[Layer], last_use: Mapping[str, int], without: Collection[str], steps: int
) -> tuple[dict[str, slice], int]:
    """Where in a block of memory the events of layers go, by name, and the bytes of the block.

    No room get readouts, those named in `without`, those that are too large, and all of them where the block would be.
    """
    sizes = [0 if layer.neurons is None or layer.name in without else block_bytes(layer, steps) for layer in layers]
    sizes = [size if size <= MOST_BYTES else 0 for size in sizes]
    lasts = [last_use.get(layer.name, index) for index, layer in enumerate(layers)]
    places, total = places_in_block(sizes, lasts)
    if total > MOST_SHARED_BYTES:
        return {}, 0
    every = zip(layers, places, sizes, strict=True)
    return {layer.name: slice(place, place + size) for layer, place, size in every if size}, total


def places_in_block(sizes: list[int], lasts: list[int]) -> tuple[list[int], int]:
    """Where parts of a block of memory begin, and the size of the block.

    The i-th part is written at time i and read until the time lasts[i]; its place may then be taken by another.
    """
    places: list[int] = []
    living: list[tuple[int, int, int]] = []  # begin, end and last reader of each part, in the order of their places
    for index, size in enumerate(sizes):
        living = [part for part in living if part[2] >= index]
        place = 0
        for begin, end, _ in living:
            if place + size <= begin:
                break
            place = max(place, end)
        insort(living, (place, place + size, lasts[index]))
        places.append(place)
    return places, max((place + size for place, size in zip(places, sizes, strict=True)), default=0)
