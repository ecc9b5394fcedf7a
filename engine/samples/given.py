"""Spikes of many samples as `SampleRun` takes them: out of arrays over time, or out of EventStreams."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import Events, EventStream
from ..encoders.spike_array import SpikeArray
from ..graph import Network
from ..inputs.event_inputs import check_alike, given_events
from ..kernels.samples import take_array, take_events


@dataclass(frozen=True, eq=False)
class GivenSamples:
    """What all Inputs of a network get, where that is spikes alone.

    Parameters
    ----------
    sources : dict of str to SpikeArray or list of EventStream
        By Input; of a list, one for each picture.
    steps : int
    pictures : int
    channels : int
        Of all Inputs together.
    pixels : (H, W)
    batched : bool
        Whether it is a batch; otherwise there is one picture.
    """

    sources: dict[str, SpikeArray | list[EventStream]]
    steps: int
    pictures: int
    channels: int
    pixels: tuple[int, int]
    batched: bool

    def take(self, name: str, samples: slice, steps: slice, rows: NDArray[np.uint8]) -> None:
        """Rows of bytes of some samples and steps; InputError for numbers of spikes that are none."""
        source, size = self.sources[name], samples.stop - samples.start
        if isinstance(source, SpikeArray):
            values = self._by_sample(source.counts[steps])
            if not take_array(values, samples.start, size, rows):
                raise source.refused()
            return
        rows[size : (1 + steps.stop - steps.start) * size] = 0
        pixels = math.prod(self.pixels)
        for picture in range(samples.start // pixels, -(-samples.stop // pixels)):
            stream, begin = source[picture], picture * pixels
            first, last = max(samples.start, begin), min(samples.stop, begin + pixels)
            place = (first - begin, first - samples.start, last - first, stream.shape[0])
            take_events(stream.first[steps.start : steps.stop + 1], stream.sites, place, size, rows)

    def _by_sample(self, counts: NDArray[Any]) -> NDArray[Any]:
        """(T, N, C, H, W) as (T, samples, C); without a copy where pictures have one pixel."""
        steps, pictures, channels = counts.shape[:3]
        by_sample = counts.transpose(0, 1, 3, 4, 2).reshape(steps, pictures * math.prod(self.pixels), channels)
        by_sample = by_sample.view(np.uint8) if by_sample.dtype == np.bool_ else by_sample
        if by_sample.dtype in (np.float32, np.uint8) and by_sample.flags.c_contiguous:
            return by_sample
        # One kernel serves all kinds: counts are whole numbers that float32 holds, or are refused.
        return np.ascontiguousarray(by_sample, np.float32)


def given_samples(network: Network, x: Any, time_axis: int | None) -> GivenSamples | None:
    """What `x` gives, where all Inputs take single spikes and get arrays over time, or all EventStreams.

    None of anything else, right or wrong. InputError where the events do not fit.
    """
    encoders = {node.name: node.encoder for node in network.inputs if isinstance(node.encoder, Events)}
    single = all((each.most, each.signed) == (1, False) for each in encoders.values())
    if not single or len(encoders) < len(network.inputs):
        return None
    x = x if isinstance(x, Mapping) else dict.fromkeys([next(iter(encoders))], x)
    if set(x) != set(encoders) or not all(_is_taken(value, time_axis) for value in x.values()):
        return None
    found = {name: given_events(name, encoder, x[name], time_axis) for name, encoder in encoders.items()}
    sources = {name: events for name, (events, _) in found.items()}
    check_alike(network, sources)
    first = next(iter(sources.values()))
    alone, pictures = (first, first.counts.shape[1]) if isinstance(first, SpikeArray) else (first[0], len(first))
    channels = sum(node.channels for node in network.inputs)
    batched = any(of_batch for _, of_batch in found.values())
    return GivenSamples(sources, alone.steps, pictures, channels, alone.shape[1:], batched)


def _is_taken(value: Any, time_axis: int | None) -> bool:
    """Whether an Input gets an array over time, or EventStreams; what can be gone through only once is left alone."""
    if time_axis is not None:
        return hasattr(value, "__array__")
    several = isinstance(value, (list, tuple)) and bool(value)
    return isinstance(value, EventStream) or (several and all(isinstance(each, EventStream) for each in value))
