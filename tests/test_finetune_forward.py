"""The forward passes of fine-tuning put out what the engine does, and the layers' currents equal the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_denoiser import small_denoiser

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.graph import Projection
from spikeunet.engine.learning.finetune import (
    Surrogate,
    Trainable,
    flow_gradients,
    run_flow,
    run_through_time,
    time_gradients,
)
from spikeunet.engine.learning.finetune.penalty import SpikePenalty
from spikeunet.engine.neurons import level_table, rectifies
from spikeunet.engine.testing import reference, strategies
from spikeunet.engine.threads import using_threads


def batch_of(case, pictures=2):
    """The picture and its mirror images, (N, H, W, C)."""
    upright = case.picture.transpose(1, 2, 0)
    return np.stack([upright, upright[::-1]][:pictures])


@given(strategies.cases(delays=False))
def test_accumulated_outputs_are_the_sums_of_the_spikes(case):
    batch = batch_of(case)
    tape = run_flow(case.network, batch, case.steps)
    result = simulate(case.network, batch.transpose(0, 3, 1, 2), steps=case.steps, record=("spikes",))
    np.testing.assert_array_equal(tape.output, result.output.transpose(0, 2, 3, 1))
    assert tape.accumulates == result.total_accumulates
    for name, spikes in result.spikes.items():
        np.testing.assert_array_equal(tape.values[name], spikes.sum(1).transpose(0, 2, 3, 1), name)
    np.testing.assert_array_equal(tape.values["input"], batch * case.steps)


@given(strategies.cases(models=strategies.ladder_models(), delays=False))
def test_a_single_step_is_the_reference_s(case):
    """It is run densely: outputs, marks and accumulates are the same, bit for bit, where no sum is rounded."""
    tape = run_flow(case.network, batch_of(case, 1), 1)
    expected = reference.simulate(case.network, case.picture, 1)
    currents = reference.currents(case.network, case.picture, expected.spikes)
    np.testing.assert_array_equal(tape.output[0], expected.output.transpose(1, 2, 0))
    assert tape.accumulates == expected.operations.totals["synops"]
    for node in case.network.neurons:
        spikes, charge = expected.spikes[node.name][0], currents[node.source][0]
        np.testing.assert_array_equal(tape.values[node.name][0], spikes.transpose(1, 2, 0), node.name)
        np.testing.assert_array_equal(tape.charged[node.name][0], charge.transpose(1, 2, 0) > 0, node.name)


@given(strategies.cases(delays=False))
def test_layers_are_charged_where_their_input_is_positive(case):
    """Or everywhere, where neurons are signed."""
    tape = run_flow(case.network, batch_of(case, 1), case.steps)
    spikes = simulate(case.network, case.picture, steps=case.steps, record=("spikes",)).spikes
    currents = reference.currents(case.network, case.picture, spikes)
    for node in case.network.neurons:
        expected = np.broadcast_to(currents[node.source], (case.steps, *currents[node.source].shape[1:])).sum(0) > 0
        expected |= not rectifies(node.model)
        np.testing.assert_array_equal(tape.charged[node.name][0], expected.transpose(1, 2, 0), node.name)


@given(strategies.cases(delays=False))
def test_saturating_neurons_that_emit_all_they_can_are_not_charged(case):
    plain = run_flow(case.network, batch_of(case, 1), case.steps)
    tape = run_flow(case.network, batch_of(case, 1), case.steps, saturating=True)
    np.testing.assert_array_equal(tape.output, plain.output)
    spikes = simulate(case.network, case.picture, steps=case.steps, record=("spikes",)).spikes
    for node in case.network.neurons:
        emit = level_table(node.model).emit
        full = [(spikes[node.name] == bound).all(0) for bound in (emit.min(), emit.max()) if bound != 0]
        expected = plain.charged[node.name][0] & ~np.logical_or.reduce(full).transpose(1, 2, 0)
        np.testing.assert_array_equal(tape.charged[node.name][0], expected, node.name)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_saturated_neuron_passes_no_gradient_on_where_asked(steps):
    """Three pixels through a ladder that emits 1.75 at most: one below it, two above."""
    weight = np.ones((1, 1, 1, 1), np.float32)
    network = Network(
        [
            Input("input", 1),
            Conv2d("first", "input", weight),
            Neurons("neurons", "first", MultiThreshold((1.0, 0.5, 0.25))),
            Conv2d("readout", "neurons", weight),
            Output("output", "readout"),
        ]
    )
    batch = np.array([1.125, 2.0, 9.0], np.float32).reshape(1, 1, 3, 1)
    for saturating, expected in ((False, 1.125 + 2.0 + 9.0), (True, 1.125)):
        tape = run_flow(network, batch, steps, saturating)
        assert (tape.output.reshape(-1)[1:] == 1.75).all()
        found = flow_gradients(network, tape, np.ones_like(tape.output))
        assert found["first.weight"].item() == expected
        np.testing.assert_allclose(found["readout.weight"].item(), tape.output.sum(), rtol=1e-6)


@given(strategies.cases(delays=False))
def test_spikes_through_time_are_the_engine_s(case):
    batch = batch_of(case)
    tape = run_through_time(case.network, batch, case.steps, Surrogate())
    result = simulate(case.network, batch.transpose(0, 3, 1, 2), steps=case.steps, record=("spikes",))
    for name, spikes in result.spikes.items():
        found = tape.values[name].reshape(case.steps, 2, *tape.values[name].shape[1:])
        np.testing.assert_array_equal(found.transpose(1, 0, 4, 2, 3), spikes, name)
    np.testing.assert_allclose(tape.output, result.output.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
    penalty = SpikePenalty(case.network, case.picture.shape)
    assert penalty.accumulates(tape.values) == result.total_accumulates


@given(strategies.cases(dyadic=False, delays=False), st.sampled_from((np.float32, np.float64)))
def test_currents_equal_the_reference(case, dtype):
    spikes = simulate(case.network, case.picture, steps=1, record=("spikes",)).spikes
    values = {"input": case.picture.astype(dtype), **{name: array[0].astype(dtype) for name, array in spikes.items()}}
    expected = reference.currents(case.network, case.picture, spikes)
    network = Trainable(case.network).network(Trainable(case.network).parameters(dtype)) if _trained(case) else None
    for node in (network or case.network).nodes:
        if isinstance(node, Projection):
            found = node.forward(tuple(_parts(case.network, node.source, values)))
            tolerance = 1e-4 if dtype == np.float32 else 1e-6
            shown = expected[node.name][0].transpose(1, 2, 0)
            np.testing.assert_allclose(found[0], shown, rtol=tolerance, atol=tolerance)


def _trained(case):
    return any(hasattr(node, "weight") for node in case.network.nodes)


def _parts(network, name, values):
    node = network[name]
    if not node.sources or isinstance(node, Neurons):
        yield values[name].transpose(1, 2, 0)[None]
        return
    for part in node.sources:
        yield from _parts(network, part, values)


@given(strategies.cases(dyadic=False, delays=False))
def test_one_thread_and_several_give_the_same_numbers(case):
    batch = batch_of(case)
    found = []
    for threads in (1, 3):
        with using_threads(threads):
            flow = run_flow(case.network, batch, case.steps)
            through = run_through_time(case.network, batch, case.steps, Surrogate())
            found.append(
                [
                    flow.output,
                    *flow_gradients(case.network, flow, flow.output).values(),
                    *time_gradients(case.network, through, through.output).values(),
                ]
            )
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)


def test_scaled_thresholds_are_folded_into_the_weights():
    """A layer whose thresholds are twice as large gets half the current, and its readers twice the weight."""
    network = small_denoiser()
    trainable = Trainable(network, "layer")
    parameters = trainable.parameters()
    parameters["conv1.log_scale"][:] = np.log(2)
    scaled = trainable.export(parameters)
    np.testing.assert_allclose(scaled["conv1"].weight, network["conv1"].weight / 2, rtol=1e-6)
    np.testing.assert_allclose(scaled["conv1"].bias, network["conv1"].bias / 2, rtol=1e-6)
    np.testing.assert_allclose(scaled["up1"].weight, network["up1"].weight * 2, rtol=1e-6)
    np.testing.assert_array_equal(scaled["conv2"].weight, network["conv2"].weight)
    assert scaled.neurons[0].model == network.neurons[0].model
