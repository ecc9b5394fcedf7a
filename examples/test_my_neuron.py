"""Test a neuron model of your own with spikeunet.engine.testing: `pip install ".[test]"` in a checkout, then

    pytest examples/test_my_neuron.py

which takes a minute or two. Elsewhere `pip install "spikeunet[testing]" pytest` is enough.

The neuron is a burst neuron: up to three spikes of the threshold's size a step. The engine runs its firing constants;
`step` says, in plain NumPy, what it is meant to do. The second one has a bug that the kit finds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spikeunet.engine.neurons import FiringConstants
from spikeunet.engine.testing import Case, check_case, check_neuron, strategies

MOST_SPIKES = 3


@dataclass(frozen=True)
class BurstNeuron:
    """Fires as often as its potential holds the threshold, at most three times a step."""

    threshold: float = 1.0
    initial: float = 0.0

    def firing_constants(self) -> FiringConstants:
        """What the engine runs: three equal thresholds, one after the other."""
        threshold = np.full(MOST_SPIKES, self.threshold, np.float32)
        spikes = np.bitwise_count(np.arange(256, dtype=np.uint8)).astype(np.float32)
        # v > the next smaller number is v >= threshold.
        compare = np.nextafter(threshold, np.float32(0))
        return FiringConstants(compare, threshold, spikes * threshold[0], decay=1.0, keep=1.0, initial=self.initial)

    def step(self, membrane, current):
        """What it is meant to do: potential after the step, value emitted, and which thresholds were crossed."""
        membrane = membrane + current
        spikes = np.clip(np.floor(membrane / self.threshold), 0, MOST_SPIKES)
        crossed = spikes > np.arange(MOST_SPIKES).reshape(-1, *[1] * spikes.ndim)
        return membrane - spikes * self.threshold, spikes * self.threshold, crossed


class LeakyBucket(BurstNeuron):
    """The planted bug: of a burst of three, the last spike is not paid for."""

    def firing_constants(self) -> FiringConstants:
        right = super().firing_constants()
        subtract = right.subtract.copy()
        subtract[-1] = 0
        return FiringConstants(right.compare, subtract, right.emit, right.decay, right.keep, right.initial)


THRESHOLDS = st.sampled_from((0.25, 0.5, 1.0))


@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
def test_the_neuron_alone(threshold):
    check_neuron(BurstNeuron(threshold, initial=0.125))


@settings(deadline=None, max_examples=10)
@given(strategies.cases(models=st.builds(BurstNeuron, THRESHOLDS)))
def test_networks_of_the_neuron(case: Case):
    check_case(case)


def test_the_bug_is_found():
    with pytest.raises(AssertionError):
        check_neuron(LeakyBucket())


def test_the_bug_is_found_in_networks():
    # Not made small: kernels are compiled for every other network that is tried.
    @settings(deadline=None, max_examples=100, database=None, derandomize=True, phases=(Phase.generate,))
    @given(strategies.cases(models=st.builds(LeakyBucket, THRESHOLDS)))
    def networks(case: Case):
        check_case(case)

    with pytest.raises(AssertionError):
        networks()
