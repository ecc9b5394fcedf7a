"""Fine-tuning of registered neuron models: gradients against slow ones and against the ladders', and training."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import smooth
from own_neurons import AdaptiveThreshold, Plain, Resonator, Signed, example

from spikeunet.engine import (
    AvgPool2d,
    BurstNeuron,
    Conv2d,
    Input,
    IntegrateAndFire,
    Network,
    Neurons,
    Output,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
    simulate,
)
from spikeunet.engine.errors import InputError, NeuronError
from spikeunet.engine.learning.finetune import (
    Settings,
    Surrogate,
    Trainer,
    flow_gradients,
    run_flow,
    run_through_time,
    stepped,
    time_gradients,
)
from spikeunet.engine.neurons import initial_state, level_table, register_neuron, registration_of

MODELS = (
    BurstNeuron(0.4, 3, 0.1),
    RefractoryLeakyIntegrateAndFire(0.5, 0.7, 2),
    RefractoryLeakyIntegrateAndFire(0.5, 0.7, 1, "subtract", 0.1),
    AdaptiveThreshold(0.5, 0.25, 0.7, 0.1),
    Plain(0.6, -0.1),
    Signed(0.125),
    SignedMultiThreshold.rounding((0.5, 0.25)),
    SignedMultiThreshold((0.5, 0.375), (0.25,), 0.125, False),
    Resonator(),
)


def network(model):
    generator = np.random.default_rng(1)

    def weight(*shape):
        return (generator.normal(size=shape) / 2).astype(np.float32)

    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(5, 2, 3, 3), weight(5), padding=1),
            Neurons("first", "conv1", model),
            AvgPool2d("pool", "first", 2),
            Neurons("pooled", "pool", model),
            Conv2d("conv2", "pooled", weight(4, 5, 3, 3), weight(4), padding=1),
            Neurons("second", "conv2", model),
            Conv2d("readout", "second", weight(3, 4, 3, 3)),
            Output("output", "readout"),
        ]
    )


def batch(dtype=np.float64):
    return np.random.default_rng(0).uniform(0, 1, (2, 8, 10, 2)).astype(dtype)


def gradient_like(output):
    return np.random.default_rng(2).normal(size=output.shape).astype(output.dtype)


# --- One layer through time, against loops over matrices -------------------------------------------------------------


@functools.cache
def parts(model):
    """Step, parameters and values of the levels."""
    registration = registration_of(model)
    return registration.step, registration.arguments(model), level_table(model).emit.tolist()


def evaluated(model, point):
    """Level, and value emitted with the new state, at (current, *state)."""
    step, parameters, emit = parts(model)
    level, *state = step(*point, *parameters)
    return level, np.array([emit[level], *state], np.float64)


def rows(model, point, surrogate):
    """Matrix of derivatives of a step, by the definition."""
    registration, width = registration_of(model), surrogate.width * level_table(model).unit
    size = len(point)
    matrix = np.zeros((size, size))
    for column, axis in enumerate(np.eye(size)):
        for radius in width * stepped.radii(surrogate.kind):
            high, low = (evaluated(model, point + sign * radius * axis)[1] for sign in (1, -1))
            matrix[:, column] += (high - low) / (2 * radius * len(stepped.radii(surrogate.kind)))
    if registration.surrogate is not None:
        matrix = np.array(registration.surrogate(*point, *registration.arguments(model), width), np.float64)
    if surrogate.detach_reset:
        level, here = evaluated(model, point)
        for column, axis in enumerate(np.eye(size)):
            little = 1e-3 * width
            sides = [(sign, *evaluated(model, point + sign * little * axis)) for sign in (1, -1)]
            slopes = [(value - here) / (sign * little) for sign, found, value in sides if found == level]
            matrix[1:, column] = np.mean(slopes, axis=0)[1:] if slopes else 0
    return matrix


def slow_gradients(model, currents, gradient, surrogate):
    """Gradient of the currents, (T, E), and of the initial potential, neuron by neuron."""
    into, total = np.zeros_like(currents), 0.0
    for neuron in range(currents.shape[1]):
        points, state = [], np.array(list(initial_state(model).values()))
        for current in currents[:, neuron]:
            points.append(np.array([current, *state]))
            state = evaluated(model, points[-1])[1][1:]
        flow = np.zeros(len(state))
        for step in reversed(range(len(currents))):
            passed = np.array([gradient[step, neuron], *flow]) @ rows(model, points[step], surrogate)
            into[step, neuron], flow = passed[0], passed[1:]
        total += flow[0]
    return into, total


SLOW = (MODELS[1], MODELS[7], MODELS[8], MODELS[2], MODELS[5])
"""Each compiles kernels of its own."""


@pytest.mark.parametrize(
    ("model", "kind", "detached"),
    [
        *itertools.product((each for each in MODELS if each not in SLOW), ["rectangle", "triangle"], [False, True]),
        pytest.param(SLOW[0], "rectangle", True, marks=pytest.mark.slow),
        pytest.param(SLOW[1], "triangle", False, marks=pytest.mark.slow),
        pytest.param(SLOW[2], "rectangle", True, marks=pytest.mark.slow),
        pytest.param(SLOW[3], "triangle", False, marks=pytest.mark.slow),
        pytest.param(SLOW[4], "rectangle", False, marks=pytest.mark.slow),
    ],
)
def test_backward_through_time_by_the_definition(model, kind, detached):
    surrogate = Surrogate(kind, 0.7, detach_reset=detached)
    generator = np.random.default_rng(3)
    currents, gradient = generator.normal(0.2, 0.4, (7, 15)), generator.normal(size=(7, 15))
    tape, emitted = stepped.fire(model, currents, 7, surrogate)
    found, total = stepped.backward(model, tape, surrogate, gradient, np.zeros(1))
    expected, initial = slow_gradients(model, currents, gradient, surrogate)
    assert np.abs(emitted).sum() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(total, initial, rtol=1e-9, atol=1e-9)


def test_what_every_neuron_has_in_common():
    """A current or a gradient that is the same at every step may come as one row; a further gradient adds to it."""
    model, surrogate = AdaptiveThreshold(), Surrogate()
    generator = np.random.default_rng(3)
    current, gradient, more = generator.normal(0.2, 0.4, (1, 40)), generator.normal(size=(1, 40)), np.arange(40.0)
    tape, _ = stepped.fire(model, current, 5, surrogate)
    found, total = stepped.backward(model, tape, surrogate, gradient, more)
    whole, _ = stepped.fire(model, np.tile(current, (5, 1)), 5, surrogate)
    expected, initial = stepped.backward(model, whole, surrogate, np.tile(gradient + more, (5, 1)), np.zeros(1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(total, initial, rtol=1e-12)


@pytest.mark.parametrize("kind", ["rectangle", "triangle", "fast-sigmoid", "arctan"])
def test_rectangles_make_up_a_surrogate(kind):
    """The share of rectangles of a half-width up to r is 2 (integral of the slope from 0 to r) - 2 r slope(r)."""
    found = stepped.radii(kind)
    if kind == "rectangle":
        np.testing.assert_array_equal(found, [1])
        return
    for radius, share in zip(found, (0.125, 0.375, 0.625, 0.875), strict=True):
        grid = (np.arange(100_000) + 0.5) * radius / 100_000
        integral = smooth.SLOPES[kind](grid).mean() * radius
        np.testing.assert_allclose(2 * integral - 2 * radius * smooth.SLOPES[kind](radius), share, rtol=1e-6)


# --- Whole networks, against the ladders -----------------------------------------------------------------------------


@pytest.mark.parametrize("detached", [False, True])
def test_integrate_and_fire_written_anew_has_the_same_gradients(detached):
    """The rectangle is exact: what differences of the step find is what the ladder's kernel computes."""
    surrogate = Surrogate("rectangle", 0.6, detach_reset=detached)
    found = []
    for model in (IntegrateAndFire(0.7, initial=0.1), Plain(0.7, 0.1)):
        tape = run_through_time(network(model), batch(), 5, surrogate)
        found.append((tape.output, time_gradients(network(model), tape, gradient_like(tape.output))))
    (output, gradients), (other, others) = found
    np.testing.assert_array_equal(output, other)
    assert gradients.keys() == others.keys()
    for name, expected in gradients.items():
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(others[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "model",
    [each if each not in SLOW else pytest.param(each, marks=pytest.mark.slow) for each in MODELS if each != SLOW[1]],
)
def test_both_forward_runs_are_the_engines(model):
    made, pictures = dyadic(model)
    expected = simulate(made, pictures.transpose(0, 3, 1, 2), 5)
    flow, through = run_flow(made, pictures, 5), run_through_time(made, pictures, 5, Surrogate())
    np.testing.assert_array_equal(flow.output.transpose(0, 3, 1, 2), expected.output)
    assert flow.accumulates == expected.total_accumulates
    if model in (Plain(0.6, -0.1), Resonator()) or isinstance(model, BurstNeuron):
        return  # their values are not dyadic: sums round, and the synapses of the two add in another order
    np.testing.assert_array_equal(through.output.transpose(0, 3, 1, 2), expected.output)


def dyadic(model):
    """A network whose sums do not round, and pictures for it."""
    nodes = []
    for node in network(model).nodes:
        arrays = {"weight", "bias"} if isinstance(node, Conv2d) else ()
        rounded = {name: np.round(getattr(node, name) * 16) / np.float32(16) for name in arrays}
        nodes.append(dataclasses.replace(node, **rounded))
    return Network(nodes), np.round(batch(np.float32) * 16) / 16


def test_flow_of_a_model_that_conserves_charge():
    found = []
    for model in (IntegrateAndFire(0.75), Plain(0.75)):
        made, pictures = dyadic(model)
        tape = run_flow(made, pictures, 5)
        found.append((tape.charged, flow_gradients(made, tape, gradient_like(tape.output))))
    (charged, gradients), (others, same) = found
    assert 0 < charged["first"].mean() < 1
    for name, expected in charged.items():
        np.testing.assert_array_equal(others[name], expected)
    for name, expected in gradients.items():
        np.testing.assert_array_equal(same[name], expected)


def test_flow_of_a_model_that_does_not():
    """Where a neuron loses charge, its accumulated input is computed from what its sources emitted."""
    made = network(RefractoryLeakyIntegrateAndFire(0.5, 0.7, 2))
    tape = run_flow(made, batch(np.float32), 5)
    found = simulate(made, batch(np.float32)[0].transpose(2, 0, 1), 5, record=("spikes",))
    emitted = found.spikes["first"].sum(axis=0).transpose(1, 2, 0)
    np.testing.assert_array_equal(tape.values["first"][0], emitted)
    assert tape.charged["first"][0][emitted > 0].all()


# --- Training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "method"),
    [
        (AdaptiveThreshold(), "flow"),
        (AdaptiveThreshold(), "bptt"),
        pytest.param(BurstNeuron(0.25), "flow", marks=pytest.mark.slow),
        pytest.param(SignedMultiThreshold.rounding((1.0, 0.5, 0.25)), "bptt", marks=pytest.mark.slow),
    ],
)
def test_training_lowers_the_loss(method, model):
    module = example()
    settings = Settings(4, method, iterations=20, rate=3e-3, initial=True, scales="layer", penalty=0.01)
    trainer = Trainer(module.small_network(model), module.Blur(), settings, threads=2)
    reports = [trainer.step() for _ in range(20)]
    assert reports[-1].loss < 0.6 * reports[0].loss
    tuned = trainer.result()
    assert {type(node.model) for node in tuned.neurons} == {type(model)}
    assert any(node.model.initial != model.initial for node in tuned.neurons)


def test_a_run_resumes_exactly(tmp_path):
    module = example()
    settings = Settings(3, "bptt", iterations=6)
    whole = Trainer(module.small_network(AdaptiveThreshold()), module.Blur(), settings, threads=1)
    for _ in range(3):
        whole.step()
    whole.checkpoint(tmp_path / "half.npz")
    again = Trainer(module.small_network(AdaptiveThreshold()), module.Blur(), settings, threads=3)
    again.resume(tmp_path / "half.npz")
    assert [whole.step().loss for _ in range(3)] == [again.step().loss for _ in range(3)]


def test_firing_by_degrees_is_for_ladders():
    with pytest.raises(InputError, match="BurstNeuron cannot fire by degrees: smooth=True is for ladders"):
        run_through_time(network(BurstNeuron()), batch(), 2, Surrogate(smooth=True))


def test_a_level_out_of_range_in_training():
    @register_neuron("tests/wild-in-training")
    @dataclasses.dataclass(frozen=True)
    class Wild(Plain):
        @staticmethod
        def step(current, v):
            return (7 if current > 99 else 0), v

    with pytest.raises(NeuronError, match=r"the step returned level 7, and levels\(\) has 0 to 1"):
        stepped.fire(Wild(), np.full((1, 3), 100.0), 2, Surrogate())
