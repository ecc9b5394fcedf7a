"""Parameters of the neuron models: what they accept, what they refuse, and how they look."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.engine import (
    Conv2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.errors import NeuronError, SpikeunetError
from spikeunet.engine.neurons import NeuronModel
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_array
from spikeunet.engine.testing.strategies import neuron_models

MODELS = [MultiThreshold, IntegrateAndFire, LeakyIntegrateAndFire]
SINGLE = [IntegrateAndFire, LeakyIntegrateAndFire]


def alone(model, currents):
    """A network of neurons that nothing but the picture drives, and the picture: the currents, (N,)."""
    one = np.ones((1, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", one), Neurons("neurons", "conv", model), Output("output", "conv")]
    return Network(nodes), np.asarray(currents, np.float32)[None, None, :]


def run_alone(model, currents, steps):
    """Result of the engine for neurons that a constant current drives."""
    return simulate(*alone(model, currents), steps, record=("spikes", "membrane", "spike_count"))


@given(neuron_models(), st.integers(1, 8))
def test_a_grid_of_currents(model, steps):
    """Every multiple of 1/16 from -4 to 8: each threshold is met exactly, just missed and passed."""
    currents = np.arange(-64, 129) / 16
    found, expected = run_alone(model, currents, steps), reference.simulate(*alone(model, currents), steps)
    for kind in ("spikes", "membrane", "spike_count"):
        assert_same_array(getattr(found, kind)["neurons"], getattr(expected, kind)["neurons"], kind)


@pytest.mark.parametrize("theta", [0.1, 1 / 3, 0.7, 1e-3, 3e4])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_thresholds_between_float32_numbers(model, theta, strict):
    """A threshold is the float32 nearest to it; its neighbours tell v > theta from v >= theta."""
    held = np.float32(theta)
    potentials = [np.nextafter(held, np.float32(0)), held, np.nextafter(held, np.float32(np.inf))]
    parameters = {"thresholds": (theta,)} if model is MultiThreshold else {"threshold": theta}
    found = run_alone(model(**parameters, strict=strict), potentials, 1)
    expected = [0, 0 if strict else held, held]
    np.testing.assert_array_equal(found.spikes["neurons"].ravel(), np.float32(expected))


def test_reset_to_zero_forgets_the_rest():
    found = run_alone(IntegrateAndFire(reset="zero"), [0.75, 5], 3)
    np.testing.assert_array_equal(found.spikes["neurons"][:, 0, 0], [[0, 1], [1, 1], [0, 1]])
    np.testing.assert_array_equal(found.membrane["neurons"][0, 0], [0.75, 0])


def test_leak_of_any_decay():
    """v_T = decay * v_{T-1} + i, rounded to float32 at each step; the decay is no power of two here."""
    found = run_alone(LeakyIntegrateAndFire(threshold=100, decay=0.9, initial=1), [0.5], 3)
    expected = 0.9 * (0.9 * (0.9 * 1 + 0.5) + 0.5) + 0.5
    np.testing.assert_allclose(found.membrane["neurons"].item(), expected, rtol=1e-6)


def test_defaults_are_the_papers():
    model = MultiThreshold()
    assert model.thresholds == (2, 1, 0.5, 0.25)
    assert (model.initial, model.strict) == (0, True)
    single = IntegrateAndFire()
    assert (single.threshold, single.reset, single.initial, single.strict) == (1, "subtract", 0, False)


@pytest.mark.parametrize("model", MODELS)
def test_models_are_values(model):
    assert isinstance(model(), NeuronModel)
    assert model() == model()
    assert hash(model()) == hash(model())
    assert model(initial=0.5) != model()
    assert eval(repr(model(initial=0.5))) == model(initial=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().initial = 1.0


def test_thresholds_may_be_any_sequence():
    expected = MultiThreshold((1.0, 0.5))
    assert MultiThreshold([1, 0.5]) == MultiThreshold(np.float32([1, 0.5])) == expected


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ((), r"must be 1 to 8 numbers \(got 0\)"),
        (tuple(range(9, 0, -1)), r"must be 1 to 8 numbers \(got 9\)"),
        ((0.25, 0.5), r"strictly descending \(got \(0.25, 0.5\)\)"),
        ((1, 1), "strictly descending"),
        ((1, 0), r"positive.*got \(1.0, 0.0\)"),
        ((1, -1), "positive"),
        ((np.nan,), r"must be a finite float32 number \(got nan\)"),
        ((np.inf, 1), r"finite float32 number \(got inf\)"),
        ((1e39, 1), r"finite float32 number \(got 1e\+39\)"),
        (("a",), r"must be a number \(got 'a'\)"),
        ("21", r"must be a number \(got '2'\)"),
        ((10**400, 1), r"finite float32 number \(got inf\)"),
        ((None,), r"must be a number \(got None\)"),
        (2.0, r"must be a sequence \(got 2.0\)"),
        (None, r"must be a sequence \(got None\)"),
    ],
)
def test_ladders_that_are_refused(thresholds, message):
    with pytest.raises(NeuronError, match=rf"^MultiThreshold\.thresholds: .*{message}"):
        MultiThreshold(thresholds)


@pytest.mark.parametrize("model", SINGLE)
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": 0}, r"threshold: must be positive \(got 0\)"),
        ({"threshold": -1.5}, r"threshold: must be positive \(got -1.5\)"),
        ({"threshold": np.nan}, r"threshold: must be a finite float32 number \(got nan\)"),
        ({"threshold": "high"}, r"threshold: must be a number \(got 'high'\)"),
        ({"threshold": "1"}, r"threshold: must be a number \(got '1'\)"),
        ({"reset": "none"}, r"reset: must be one of subtract, zero \(got 'none'\)"),
        ({"reset": None}, r"reset: must be one of subtract, zero \(got None\)"),
    ],
)
def test_single_thresholds_that_are_refused(model, parameters, message):
    with pytest.raises(NeuronError, match=rf"^{model.__name__}\.{message}"):
        model(**parameters)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("initial", [np.nan, -np.inf, 1e40, "zero", "0.5", None])
def test_initial_potentials_that_are_refused(model, initial):
    with pytest.raises(NeuronError, match=rf"^{model.__name__}\.initial: must be a "):
        model(initial=initial)


@pytest.mark.parametrize("decay", [-0.1, 1.01, np.nan, np.inf, "slow", "0.5"])
def test_decays_that_are_refused(decay):
    with pytest.raises(NeuronError, match=r"^LeakyIntegrateAndFire\.decay: must (lie in \[0, 1\]|be a )"):
        LeakyIntegrateAndFire(decay=decay)


@pytest.mark.parametrize("model", SINGLE)
def test_threshold_that_float32_rounds_to_zero_is_refused(model):
    """A neuron whose threshold is zero in float32 would fire nothing, for ever."""
    with pytest.raises(NeuronError, match="threshold"):
        model(threshold=1e-50)


@pytest.mark.parametrize("thresholds", [(1.0, 1e-50), (1.0, 1.0 - 1e-12)])
def test_ladders_that_float32_makes_equal_are_refused(thresholds):
    with pytest.raises(NeuronError, match="positive and strictly descending"):
        MultiThreshold(thresholds)


def test_rounding_starts_at_half_of_the_smallest_threshold():
    assert MultiThreshold.rounding([1, 0.25]) == MultiThreshold((1.0, 0.25), initial=0.125)
    assert MultiThreshold.rounding().thresholds == tuple(2.0**-power for power in range(7))
    with pytest.raises(NeuronError, match="descending"):
        MultiThreshold.rounding((1, 2))


def test_errors_are_value_errors():
    assert issubclass(NeuronError, SpikeunetError)
    assert issubclass(SpikeunetError, ValueError)
