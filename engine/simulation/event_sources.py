"""What the kernels that unpack events take of a layer's inputs."""

from __future__ import annotations

import math
from operator import attrgetter

import numpy as np

from ..events import EventQueue
from ..kernels.arguments import CountedSource, EventSource
from ..kernels.decode import MOST_CHUNKS
from ..kernels.entries import CHUNK
from .integer_products import masks_of
from .layer_state import Inputs

EXPECTED_SHARE = 0.15
"""Of a layer's neurons that fire, where nobody knows yet."""


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


def event_sources(inputs: Inputs, known: bool, sparse: bool = False) -> tuple[EventSource, ...]:
    """What `decode_rows` takes of each source; `known` and `sparse` as `chunks_of` takes them."""
    numbers = max((queue.channels.dtype for _, queue, _ in inputs.queues), key=attrgetter("itemsize"), default=None)
    return tuple(
        EventSource(
            queue.start,
            queue.channels.astype(numbers, copy=False),
            queue.levels.view(np.uint8),
            queue.levels.itemsize,
            emit,
            source.scale,
            source.channel_offset,
            chunks_of(queue, known, sparse),
        )
        for source, queue, emit in inputs.queues
    )


def counted_sources(inputs: Inputs) -> tuple[CountedSource, ...]:
    """What kernels that count take of each source."""
    return tuple(
        CountedSource(
            queue.start,
            queue.channels,
            queue.levels,
            source.thresholds,
            source.channel_offset,
            masks_of(queue, 0),
            source.channels,
        )
        for source, queue, _ in inputs.queues
    )
