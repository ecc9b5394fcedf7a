"""Spikes of many samples as `SampleRun` takes them: out of arrays over time, or out of EventStreams."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import Events, EventStream
from ..encoders.spike_array import SpikeArray
from ..graph import Network
from ..kernels.samples import take_array, take_events
from .event_inputs import check_alike, given_events


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


def given_samples(network: Network, x: Any, time_axis: Any) -> GivenSamples | None:
    """What `x` gives, where all Inputs take single spikes and get arrays over time or EventStreams.

    None of anything else, right or wrong. InputError where the events do not fit.
    """
    encoders = {node.name: node.encoder for node in network.inputs}
    if not all(isinstance(each, Events) and (each.most, each.signed) == (1, False) for each in encoders.values()):
        return None
    if not isinstance(x, dict):
        if len(encoders) > 1:
            return None
        x = {next(iter(encoders)): x}
    if set(x) != set(encoders):
        return None
    found = {name: given_events(name, encoder, x[name], time_axis) for name, encoder in encoders.items()}  # type: ignore[arg-type]
    batches = {name: given for name, (given, _) in found.items()}
    check_alike(network, batches)
    return _joined(network, batches, any(batched for _, batched in found.values()))


def _joined(network: Network, batches: dict[str, Any], batched: bool) -> GivenSamples:
    first = next(iter(batches.values()))
    alone = first if isinstance(first, SpikeArray) else first[0]
    pictures = first.counts.shape[1] if isinstance(first, SpikeArray) else len(first)
    channels = sum(node.channels for node in network.inputs)
    return GivenSamples(batches, alone.steps, pictures, channels, alone.shape[1:], batched)
