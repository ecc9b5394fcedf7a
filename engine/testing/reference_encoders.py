"""The specification of encoders: one value after the other, by the sentences of the documentation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import Delta, Encoder, Foveal, Latency, RankOrder, Rate

Array = NDArray[Any]


def encode(
    encoder: Encoder, shown: Array, step: int, picture: int, kept: dict[str, Array], name: str
) -> tuple[Array, Array]:
    """What an Input emits at a step, (C, H, W) float64, and the spikes of each kind that it does so with, (K, C, H, W).

    `kept` is what has been kept from step to step, by the name of the Input.
    """
    values = encoder.level_table().values
    if isinstance(encoder, Rate):
        spikes = _rate(encoder, shown, step, picture)
    elif isinstance(encoder, Latency):
        spikes = np.vectorize(lambda value: value > 0 and _latency(encoder, float(value)) == step)(shown)
    elif isinstance(encoder, RankOrder):
        spikes = _rank_order(encoder, shown, step)
    elif isinstance(encoder, Foveal):
        # Rounding decides between coefficients that symmetry makes equal: the order is the encoder's own, which the
        # tests hold against a pursuit with whole kernels.
        spikes = (encoder.times(shown.astype(np.float32)) == step).astype(np.int64)
    elif isinstance(encoder, Delta):
        emitted = kept.get(name, np.zeros(shown.shape))
        spikes = np.vectorize(lambda value, sent: _changes(encoder, float(value), sent))(shown, emitted)
        kept[name] = emitted + spikes
        return spikes * encoder.threshold, _kinds(spikes * encoder.threshold, values, abs(spikes))
    else:
        spikes = shown
    found = spikes.astype(np.float64)
    return found, _kinds(found, values, abs(found).astype(np.int64))


def _kinds(emitted: Array, values: tuple[float, ...], count: Array) -> Array:
    """The spikes of each value."""
    return np.stack([np.where(emitted == value, count, 0) for value in values]).astype(np.int64)


def _rate(encoder: Rate, shown: Array, step: int, picture: int) -> Array:
    raw = np.random.Philox(key=[encoder.seed, 0], counter=[0, step, picture, 0]).random_raw(shown.size).tolist()
    numbers = [(number // 2**11) / 2**53 for number in raw]
    means = [float(value) * encoder.gain for value in shown.ravel()]
    if encoder.kind == "bernoulli":
        spikes = [int(number < mean) for number, mean in zip(numbers, means, strict=True)]
    else:
        most = len(encoder.level_table().values)
        spikes = [_quantile(number, mean, most) for number, mean in zip(numbers, means, strict=True)]
    return np.array(spikes).reshape(shown.shape)


def _quantile(number: float, mean: float, most: int) -> int:
    """The smallest count of a Poisson distribution that is not exceeded with a probability above `number`."""
    count, chance = 0, math.exp(-mean)
    below = chance
    while number >= below and count < most:
        count += 1
        chance *= mean / count
        below += chance
    return count


def _latency(encoder: Latency, value: float) -> int:
    return min(math.floor((1 - value) * encoder.window), encoder.window - 1)


def _rank_order(encoder: RankOrder, shown: Array, step: int) -> Array:
    bright = sorted((-value, place) for place, value in enumerate(shown.ravel().tolist()) if value > 0)
    spikes = np.zeros(shown.size, np.int64)
    for rank, (_, place) in enumerate(bright):
        spikes[place] = rank * encoder.window // len(bright) == step
    return spikes.reshape(shown.shape)


def _changes(encoder: Delta, value: float, emitted: float) -> int:
    """Thresholds by which a value is above what has been emitted, which is counted in thresholds."""
    return max(-encoder.most, min(encoder.most, math.trunc(value / encoder.threshold - emitted)))
