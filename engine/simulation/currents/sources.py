"""What the kernels that read events take of a layer's inputs: to unpack them, to spread them out, to count them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding.integer_plan import Quanta
from ...binding.layer import Source
from ...events import EventQueue
from ...kernels.arguments import CountedSource, EventSource, PlaneSource
from ...kernels.decode import MOST_CHUNKS
from ...kernels.entries import CHUNK
from ...kernels.sources import packed_sources, source_table
from .part import EXPECTED_SHARE, Inputs

_NO_MASKS = np.zeros(0, np.uint8)

_SPARSE = 0.125
"""Entries of a pixel, on the average, below which most pixels have none: none is then unpacked of every pixel."""


def chunks_of(queue: EventQueue, known: bool, sparse: bool = False) -> int:
    """Chunks of entries that nearly all pixels need: of so many as twice the deviation more than the mean.

    `sparse` says that nobody expects entries of most pixels.
    """
    channels, height, width = queue.shape
    if not known and sparse:
        return 0
    mean = queue.active / max(height * width, 1) if known else EXPECTED_SHARE * channels
    if mean < _SPARSE:
        return 0
    most = min(mean + 2 * math.sqrt(mean), channels)
    return min(max(math.ceil(most / CHUNK), 1), MOST_CHUNKS)


def event_sources(inputs: Inputs, known: bool, sparse: bool = False) -> tuple[Any, ...]:
    """What `decode_rows` takes of the sources; `known` and `sparse` as `chunks_of` takes them."""
    found = []
    for source, queue, entries in _entries(inputs):
        own = source.emit, source.scale, source.channel_offset
        found.append(EventSource(*entries, queue.levels.itemsize, *own, chunks_of(queue, known, sparse)))
    return packed_sources(tuple(found))


def plane_sources(inputs: Inputs, quanta: Mapping[str, Quanta]) -> tuple[Any, ...]:
    """What `fill_planes` and `decode_quanta` take of the sources; `quanta` of each, by name."""
    found = []
    for source, queue, entries in _entries(inputs):
        numbers, shift = quanta[source.name]
        offset, masks = source.channel_offset, masks_of(queue, shift)
        found.append(PlaneSource(*entries, queue.levels, numbers, shift, offset, masks, source.channels))
    return packed_sources(tuple(found))


def counted_sources(inputs: Inputs) -> tuple[Any, ...]:
    """What kernels that count take of the sources, however many there are."""
    found = []
    for source, queue in inputs.queues:
        entries, masks = (queue.start, queue.channels, queue.levels), masks_of(queue)
        found.append(CountedSource(*entries, source.thresholds, source.channel_offset, masks, source.channels))
    return source_table(tuple(found))


def _entries(inputs: Inputs) -> Iterator[tuple[Source, EventQueue, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]]:
    """Each source and its queue; where entries begin, channels of one type in all queues, and levels as bytes."""
    types = (queue.channels.dtype for _, queue in inputs.queues)
    widest = max(types, key=attrgetter("itemsize"), default=None)
    for source, queue in inputs.queues:
        yield source, queue, (queue.start, queue.channels.astype(widest, copy=False), queue.levels.view(np.uint8))


def masks_of(queue: EventQueue, shift: int = 0) -> NDArray[np.uint8]:
    """A queue's masks, flat; of size 0 where there are none, or its levels are not read backwards and shifted."""
    return _NO_MASKS if queue.masks is None or shift < 0 else queue.masks.reshape(-1)
