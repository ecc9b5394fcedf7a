"""Spikes at random, the more often the brighter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..neurons import LevelTable
from .encoder import Encoder, Frames, Memory, check_unit_interval, numbered, one_spike

KINDS = ("bernoulli", "poisson")
LARGEST_GAIN = 64.0
LARGEST_SEED = 2**53 - 1
_DIGITS = 53
"""Of a random number: a float64 holds so many."""


@dataclass(frozen=True)
class Rate(Encoder):
    """Random spikes of value 1 whose mean at each step is `gain` times the value shown, which lies from 0 to 1.

    Random numbers come from Philox, counted and not drawn one after the other: that of a neuron depends on the seed,
    the step since the network was at rest, the picture's number in its batch, and the neuron's place, and on nothing
    else. Two Inputs with one seed get the same numbers.

    Parameters
    ----------
    kind : "bernoulli" or "poisson"
        One spike at most at a step, with the probability `gain` times the value; or as many as a Poisson process has in
        a step, as one graded event.
    gain : float
        Spikes a step that a value of 1 stands for: at most 1 (Bernoulli) or 64 (Poisson).
    seed : int
        From 0 to 2**53 - 1.

    Raises
    ------
    GraphError
        If a parameter is out of range.
    """

    kind: str = "bernoulli"
    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise self.refuse("kind", f"must be one of {', '.join(KINDS)} (got {self.kind!r})")
        self.set_positive("gain", 1.0 if self.kind == "bernoulli" else LARGEST_GAIN)
        self.set_whole("seed", 0, LARGEST_SEED)

    def level_table(self) -> LevelTable:
        """1; or each number of spikes that a random number of 53 bits can stand for."""
        if self.kind == "bernoulli":
            return one_spike()
        counts = range(1, most_spikes(self.gain) + 1)
        return numbered(counts, counts)

    def check(self, name: str, shown: Frames) -> None:
        """Values are from 0 to 1."""
        check_unit_interval(self, name, shown)

    def levels(self, shown: Frames, first: int, picture: int, memory: Memory) -> NDArray[np.uint8]:
        """See `Encoder.levels`."""
        drawn = np.stack([self._numbers(step, picture, shown.shape[1:]) for step in range(first, first + len(shown))])
        mean = shown.astype(np.float64) * self.gain
        if self.kind == "bernoulli":
            return (drawn < mean).astype(np.uint8)
        return _poisson(drawn, mean, most_spikes(self.gain))

    def _numbers(self, step: int, picture: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Random numbers from 0 to 1, 1 excluded, of a step."""
        # The first of four counters runs over the neurons, so that no two steps or pictures share one.
        generator = np.random.Philox(key=[self.seed, 0], counter=[0, step, picture, 0])
        drawn = generator.random_raw(math.prod(shape)) >> np.uint64(64 - _DIGITS)
        return np.asarray(drawn.reshape(shape) * 2.0**-_DIGITS, np.float64)

    def seen_by_network(self, name: str, picture: Frames) -> Frames:
        """The mean: `gain` times the picture."""
        check_unit_interval(self, name, picture)
        return picture * np.float32(self.gain)


def most_spikes(gain: float) -> int:
    """The largest count with a chance of 2**-53 or more, where `gain` spikes are expected."""
    chance = below = math.exp(-gain)
    count = 0
    while below < 1 - 2.0**-_DIGITS and (count < gain or chance >= 2.0**-_DIGITS):
        count += 1
        chance *= gain / count
        below += chance
    return max(count, 1)


def _poisson(drawn: NDArray[np.float64], mean: NDArray[np.float64], most: int) -> NDArray[np.uint8]:
    """Numbers of spikes, by going up the distribution until it is above the random numbers."""
    counts = np.zeros(drawn.shape, np.uint8)
    chance = np.exp(-mean)
    below = chance.copy()
    for count in range(1, most + 1):
        more = drawn >= below
        if not more.any():
            break
        counts += more
        chance *= mean / count
        below += chance
    return counts
