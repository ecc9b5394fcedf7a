"""The quantised twin: an artificial network whose activations have as many levels as the neurons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeunet.engine import (
    BurstNeuron,
    Conv2d,
    Input,
    InputError,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    SignedMultiThreshold,
    forward,
    quantised_twin,
    simulate,
    twin_bits,
)
from spikeunet.engine.testing import strategies

ONE = np.ones((1, 1, 1, 1), np.float32)
LADDERS = st.sampled_from(
    [
        MultiThreshold(),
        MultiThreshold.rounding((1.0, 0.5, 0.25)),
        MultiThreshold((1.0, 0.75), strict=False),
        IntegrateAndFire(0.5),
        IntegrateAndFire(0.5, reset="zero"),
    ]
)


def one_layer(model):
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", model)]
    return Network([*nodes, Conv2d("readout", "neurons", ONE), Output("output", "readout")])


def stairs(model, currents, steps=1):
    picture = np.asarray(currents, np.float32)[None, None]
    return quantised_twin(one_layer(model), picture, steps)[0].ravel().tolist()


def test_stairs_by_hand():
    assert stairs(MultiThreshold((2.0, 1.0)), [-1, 0.5, 1, 1.5, 2.5, 3.5, 9]) == [0, 0, 0, 1, 2, 3, 3]
    assert stairs(MultiThreshold((1.0, 0.5), initial=0.25), [0.2, 0.3, 0.8, 1.3]) == [0, 0.5, 1, 1.5]
    # Three steps: 0.4, 0.8, 1.2 (fires), and 0.4 is left: a third of 1.
    assert stairs(IntegrateAndFire(1.0), [0.4, 0.5, 0.99, 5], steps=3) == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])


def test_bits_of_the_twin():
    ladder = MultiThreshold.rounding()
    assert [twin_bits(ladder, steps) for steps in (1, 2, 4, 8)] == [7, 8, 9, 10]
    assert [twin_bits(IntegrateAndFire(), steps) for steps in (1, 3, 7, 15)] == [1, 2, 3, 4]


@settings(max_examples=15)
@given(strategies.cases(models=LADDERS, delays=False, sums=True))
def test_in_one_step_the_twin_is_the_spiking_network(case):
    """All activations and the output, number by number: sums of dyadic numbers are not rounded."""
    result = simulate(case.network, case.picture, 1, threads=1, record=("spikes",))
    output, activations = quantised_twin(case.network, case.picture, 1, record="all")
    np.testing.assert_array_equal(output, result.output)
    for name, values in activations.items():
        np.testing.assert_array_equal(values, result.spikes[name][0], name)


@pytest.mark.parametrize("model", [MultiThreshold(), MultiThreshold.rounding((1.0, 0.5)), IntegrateAndFire(0.5)])
def test_a_constant_current_is_rounded_as_the_neuron_rounds_it_on_average(model):
    """In the first layer, which direct coding drives with a constant current, in any number of steps."""
    picture = np.arange(-8, 40, dtype=np.float32).reshape(1, 6, 8) / 16
    network = one_layer(model)
    for steps in (2, 4):
        result = simulate(network, picture, steps, threads=1, record=("spikes",))
        _, activations = quantised_twin(network, picture, steps, record="all")
        np.testing.assert_array_equal(activations["neurons"], result.spikes["neurons"].mean(axis=0))


def test_many_steps_come_close_to_the_relu():
    picture = np.linspace(-1, 3, 48, dtype=np.float32).reshape(1, 6, 8)
    network = one_layer(MultiThreshold.rounding((2.0, 1.0, 0.5)))
    errors = [
        np.abs(quantised_twin(network, picture, steps)[0] - forward(network, picture)[0]).max() for steps in (1, 4, 16)
    ]
    assert errors[0] <= 0.25 + 1e-6
    assert errors[2] < errors[1] < errors[0]


def test_what_has_no_twin_is_refused():
    picture = np.ones((1, 2, 2), np.float32)
    for model in (BurstNeuron(), SignedMultiThreshold()):
        with pytest.raises(
            InputError, match=f"neurons: {type(model).__name__} neurons are no ladder and have no quant"
        ):
            quantised_twin(one_layer(model), picture)
    for steps in (0, 1.5, True):
        with pytest.raises(InputError, match="steps must be a whole number from 1 on"):
            quantised_twin(one_layer(IntegrateAndFire()), picture, steps)
