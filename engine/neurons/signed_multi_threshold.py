"""Multi-threshold neurons that fire on both sides of zero, for layers without a ReLU behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import NeuronError
from ..float32 import held
from .firing import check_ladder, check_number
from .multi_threshold import RECOMMENDED_THRESHOLDS
from .registry import register_neuron

MOST_THRESHOLDS = 7
"""On either side: with silence they make 2**7 - 1 + 2**7 - 1 + 1 levels, and a level is a byte."""


def _sums(ladder: tuple[float, ...]) -> list[float]:
    """The sum of each set of thresholds but the empty one, the smallest threshold as the lowest bit."""
    sums = [0.0]
    for theta in reversed(ladder):
        sums += [theta + value for value in sums]
    return sums[1:]


def _doubles(ladder: tuple[float, ...]) -> bool:
    return math.frexp(ladder[-1])[0] == 0.5 and all(high == 2 * low for high, low in pairwise(ladder))


@register_neuron(compile_now=False)
@dataclass(frozen=True)
class SignedMultiThreshold:
    """Neuron with thresholds of both signs, largest first, each crossed at most once a step.

    At each step the input current, bias included, is added to the membrane potential v. With u = v + offset, for each
    positive threshold theta in order: if u > theta, u -= theta and theta is added to the value emitted. If none was
    crossed, the same is done downwards: with u = offset - v, for each negative threshold -theta: if u > theta,
    u -= theta and -theta is added. In the end v loses what was emitted.

    It stands for the identity where the other neurons stand for a ReLU. Levels 1 to 2**n - 1 are sets of the n positive
    thresholds, the smallest as the lowest bit; the levels above are sets of the negative ones, likewise.

    Parameters
    ----------
    thresholds : sequence of float
        Sizes of the positive thresholds: one to seven, in strictly descending order.
    negative_thresholds : sequence of float, optional
        Sizes of the negative ones, likewise; the same as the positive ones where it is left out.
    initial : float
        Membrane potential before the first step.
    strict : bool
        Whether u must exceed a threshold (u > theta) or only reach it (u >= theta).
    offset : float
        By how much a neuron fires early, on both sides: from 0, which rounds towards zero, to half of the smallest
        threshold, which rounds to the nearest level. (No initial potential does: it would move one side towards zero
        and the other away from it.)

    Raises
    ------
    NeuronError
        If there are no thresholds on a side or more than seven, if they are not positive and finite or do not descend
        in float32, or if the offset is out of range. Half of the smallest threshold is out of range unless thresholds
        are strict: a potential there would go up and down for ever.
    """

    thresholds: tuple[float, ...] = (2.0, 1.0, 0.5, 0.25)
    negative_thresholds: tuple[float, ...] | None = None
    initial: float = 0.0
    strict: bool = True
    offset: float = 0.0

    conserves_charge = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        above = check_ladder(name, "thresholds", self.thresholds, MOST_THRESHOLDS)
        given = above if self.negative_thresholds is None else self.negative_thresholds
        below = check_ladder(name, "negative_thresholds", given, MOST_THRESHOLDS)
        offset, half = check_number(name, "offset", self.offset), min(held(above[-1]), held(below[-1])) / 2
        if not 0 <= held(offset) <= half or (held(offset) == half and not self.strict):
            limit = "" if self.strict else ", and below it with strict=False"
            raise NeuronError(
                f"{name}.offset: must lie from 0 to half of the smallest threshold, {half}{limit} (got {self.offset})"
            )
        numbers = {"offset": offset, "initial": check_number(name, "initial", self.initial)}
        for field, value in {"thresholds": above, "negative_thresholds": below, **numbers}.items():
            object.__setattr__(self, field, value)

    @classmethod
    def rounding(cls, thresholds: Sequence[float] = RECOMMENDED_THRESHOLDS) -> SignedMultiThreshold:
        """Neuron that rounds to the nearest level on both sides: it fires half of its smallest threshold early.

        Of what it has taken in, at most half of the smallest threshold is missing in what it has emitted, as long as
        no step brings more than all thresholds together.

        Raises
        ------
        NeuronError
            As for the constructor.
        """
        checked = cls(tuple(thresholds)).thresholds
        return cls(checked, offset=held(checked[-1]) / 2)

    def state(self) -> dict[str, float]:
        """The membrane potential alone."""
        return {"v": self.initial}

    def levels(self) -> tuple[float, ...]:
        """Sums of the positive thresholds, then of the negative ones."""
        return (0.0, *_sums(self._above), *(-value for value in _sums(self._below)))

    def spikes(self) -> tuple[int, ...]:
        """A level counts as the thresholds in it."""
        sets = (*range(1, 1 << len(self._above)), *range(1, 1 << len(self._below)))
        return (0, *(number.bit_count() for number in sets))

    def arithmetic(self) -> dict[str, int]:
        """Each threshold of both sides is compared with, one that is crossed taken off; an offset is added twice."""
        thresholds = len(self._above) + len(self._below)
        return {"additions": 1 + 2 * (self.offset != 0), "comparisons": thresholds, "spike_additions": 1}

    @property
    def _above(self) -> tuple[float, ...]:
        return tuple(map(held, self.thresholds))

    @property
    def _below(self) -> tuple[float, ...]:
        return tuple(map(held, self.negative_thresholds or ()))

    # --- Parameters of the step --------------------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        """Whether a quotient tells the level: a single threshold, or q, 2 q, 4 q, ... of which q is a power of two."""
        return all(len(ladder) == 1 or _doubles(ladder) for ladder in (self._above, self._below))

    @property
    def walked(self) -> tuple[float, ...]:
        """Positive thresholds that the step has to compare with one by one; (0,) where it need not."""
        return (0.0,) if self._closed else self._above

    @property
    def walked_below(self) -> tuple[float, ...]:
        """The same of the negative ones."""
        return (0.0,) if self._closed else self._below

    @property
    def quantum(self) -> float:
        """The smallest positive threshold."""
        return self._above[-1]

    @property
    def quantum_below(self) -> float:
        """The smallest negative one."""
        return self._below[-1]

    @property
    def most(self) -> int:
        """The highest level of positive thresholds."""
        return (1 << len(self._above)) - 1

    @property
    def most_below(self) -> int:
        """Number of levels of negative ones."""
        return (1 << len(self._below)) - 1

    @staticmethod
    def step(
        current: float,
        v: float,
        walked: tuple[float, ...],
        walked_below: tuple[float, ...],
        quantum: float,
        quantum_below: float,
        most: int,
        most_below: int,
        offset: float,
        strict: bool,
    ) -> tuple[int, float]:
        """One step.

        Only one of the two sides can cross a threshold, because the offset is no more than half of the smallest.
        """
        v = v + current
        up, down = v + offset, offset - v
        # A tuple's length is known when a kernel is compiled: only one of the two ways is, and that one becomes vector
        # instructions where it is the quotient.
        if len(walked) + len(walked_below) == 2:
            if strict:
                level = math.ceil(min(max(1.0, up / quantum), most + 1.0)) - 1
                below = math.ceil(min(max(1.0, down / quantum_below), most_below + 1.0)) - 1
            else:
                level = math.floor(min(max(0.0, up / quantum), most))
                below = math.floor(min(max(0.0, down / quantum_below), most_below))
            return level + (most + below if below > 0 else 0), v - level * quantum + below * quantum_below
        level, below, fired = 0, 0, 0.0
        for theta in walked:
            over = int(up > theta or (up == theta and not strict))
            level, up, fired = 2 * level + over, up - over * theta, fired + over * theta
        for theta in walked_below:
            over = int(down > theta or (down == theta and not strict))
            below, down, fired = 2 * below + over, down - over * theta, fired - over * theta
        return level + (most + below if below > 0 else 0), v - fired

    @staticmethod
    def surrogate(
        current: float,
        v: float,
        walked: tuple[float, ...],
        walked_below: tuple[float, ...],
        quantum: float,
        quantum_below: float,
        most: int,
        most_below: int,
        offset: float,
        strict: bool,  # noqa: ARG004 - a surrogate takes what the step takes
        width: float,
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """The stairs as one slope, from `width` below the lowest step to `width` above the highest."""
        v = v + current
        top, bottom = most * quantum, most_below * quantum_below
        if len(walked) + len(walked_below) > 2:
            top, bottom = 0.0, 0.0
            for theta in walked:
                top += theta
            for theta in walked_below:
                bottom += theta
        low, high = offset - bottom - width, top - offset + width
        slope = (top + bottom) / (high - low) if low < v < high else 0.0
        return (slope, slope), (1 - slope, 1 - slope)
