"""Strategies for numbers and neuron models, all of them dyadic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ..neurons import (
    BurstNeuron,
    IntegrateAndFire,
    LadderModel,
    LeakyIntegrateAndFire,
    MultiThreshold,
    NeuronModel,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
)

Strategy = st.SearchStrategy
Array = NDArray[np.float32]


@dataclass
class Numbers:
    """Source of weights and pictures: dyadic, or any float32 numbers of the same size.

    `every_kernel` says whether layers may be of shapes that have a kernel of their own compiled for them, `biased`
    whether there are biases: without any, neurons that no event reaches are left out.
    """

    generator: np.random.Generator
    dyadic: bool
    density: float
    every_kernel: bool = False
    biased: bool = True

    def draw(self, shape: int | tuple[int, ...], low: float, high: float) -> Array:
        """Array of the given shape with values from `low` to `high`."""
        if self.dyadic:
            sixteenths = self.generator.integers(int(16 * low), int(16 * high) + 1, shape)
            return sixteenths.astype(np.float32) / np.float32(16)
        return self.generator.uniform(low, high, shape).astype(np.float32)

    def weight(self, *shape: int) -> Array:
        """Weights from -1/2 to 1/2, some of them zero."""
        kept = self.generator.random(shape) < self.density
        return np.where(kept, self.draw(shape, -0.5, 0.5), np.float32(0))

    def bias(self, channels: int) -> Array:
        """Biases from -1/4 to 1/2: more often positive, so that most layers have something to say."""
        return self.draw(channels, -0.25, 0.5) * np.float32(self.biased)


@st.composite
def numbers(draw: st.DrawFn, dyadic: bool = True, every_kernel: bool = False) -> Numbers:
    """A seeded source of weights; the all-zero net, where nothing can go wrong, is not worth shrinking to."""
    seed = draw(st.integers(0, 2**16), label="seed")
    density = draw(st.sampled_from((1.0, 0.5)), label="density")
    biased = draw(st.sampled_from((True, True, False)), label="biased")
    return Numbers(np.random.default_rng(seed), dyadic, density, every_kernel, biased)


def dyadic_weights(*shape: int) -> Strategy[Array]:
    """float32 weights of a shape, multiples of 1/16 from -1/2 to 1/2, some of them zero."""
    return numbers().map(lambda source: source.weight(*shape))


def sixteenths(low: float, high: float) -> Strategy[float]:
    """Multiples of 1/16 from `low` to `high`."""
    return st.integers(int(16 * low), int(16 * high)).map(lambda n: n / 16)


def binary_ladders() -> Strategy[tuple[float, ...]]:
    """Thresholds that halve from each to the next: the case of the closed form."""
    return st.builds(
        lambda smallest, count: tuple(smallest / 16 * 2**k for k in reversed(range(count))),
        st.sampled_from((1, 2, 4, 3)),
        st.integers(1, 5),
    )


def general_ladders() -> Strategy[tuple[float, ...]]:
    """Any descending thresholds."""
    steps = st.lists(st.integers(1, 32), min_size=1, max_size=8, unique=True)
    return steps.map(lambda values: tuple(value / 16 for value in sorted(values, reverse=True)))


def multi_threshold() -> Strategy[MultiThreshold]:
    """Multi-threshold neurons."""
    return st.builds(
        MultiThreshold, binary_ladders() | general_ladders(), initial=sixteenths(-1, 1), strict=st.booleans()
    )


def _single_threshold(model: Any, **more: Strategy[Any]) -> Strategy[Any]:
    resets = st.sampled_from(("subtract", "zero"))
    options = {"threshold": sixteenths(1 / 16, 2), "reset": resets, "strict": st.booleans()}
    return st.builds(model, **options, initial=sixteenths(-1, 1), **more)


def integrate_and_fire() -> Strategy[IntegrateAndFire]:
    """Integrate-and-fire neurons."""
    return _single_threshold(IntegrateAndFire)


def leaky_integrate_and_fire() -> Strategy[LeakyIntegrateAndFire]:
    """Leaky neurons whose decay is a power of two."""
    return _single_threshold(LeakyIntegrateAndFire, decay=st.sampled_from((0.5, 0.0, 1.0)))


def burst() -> Strategy[BurstNeuron]:
    """Burst neurons of a few spikes a step."""
    return st.builds(BurstNeuron, sixteenths(1 / 16, 2), st.integers(1, 6), initial=sixteenths(-1, 1))


def refractory() -> Strategy[RefractoryLeakyIntegrateAndFire]:
    """Leaky neurons that rest after a spike."""
    return st.builds(
        RefractoryLeakyIntegrateAndFire,
        sixteenths(1 / 16, 2),
        decay=st.sampled_from((0.5, 0.0, 1.0)),
        period=st.integers(0, 4),
        reset=st.sampled_from(("subtract", "zero")),
        initial=sixteenths(-1, 1),
    )


@st.composite
def signed_multi_threshold(draw: st.DrawFn) -> SignedMultiThreshold:
    """Neurons with thresholds of both signs.

    Few on each side, because three are seven levels; and two lengths of ladders that do not double from each to the
    next, because such lengths have kernels of their own.
    """
    if draw(st.booleans(), label="doubling"):
        above, below = draw(_doubling()), draw(_doubling())
    else:
        above, below = draw(_descending(3)), draw(_descending(2))
    half, strict = min(above[-1], below[-1]) / 2, draw(st.booleans(), label="strict")
    offset = draw(st.sampled_from((0.0, half if strict else half / 2, half / 4)), label="offset")
    return SignedMultiThreshold(above, below, draw(sixteenths(-1, 1), label="initial"), strict, offset)


def _doubling() -> Strategy[tuple[float, ...]]:
    """Thresholds q, 2 q, 4 q, ... of which q is a power of two."""
    return st.builds(
        lambda smallest, count: tuple(smallest * 2.0**k for k in reversed(range(count))),
        st.sampled_from((1 / 16, 1 / 4, 1 / 2)),
        st.integers(1, 4),
    )


def _descending(count: int) -> Strategy[tuple[float, ...]]:
    """So many thresholds."""
    steps = st.lists(st.integers(1, 32), min_size=count, max_size=count, unique=True)
    return steps.map(lambda values: tuple(value / 16 for value in sorted(values, reverse=True)))


def ladder_models() -> Strategy[LadderModel]:
    """Models of the package that are a ladder of thresholds."""
    return multi_threshold() | integrate_and_fire() | leaky_integrate_and_fire()


def neuron_models() -> Strategy[NeuronModel]:
    """Any neuron model of the package."""
    return ladder_models() | burst() | refractory() | signed_multi_threshold()


def charge_conserving_models() -> Strategy[NeuronModel]:
    """Neuron models without leak that are reset by subtraction."""
    subtracting = integrate_and_fire().map(
        lambda model: IntegrateAndFire(model.threshold, initial=model.initial, strict=model.strict)
    )
    return multi_threshold() | subtracting | burst() | signed_multi_threshold()
