"""Parameters that differ between neurons, and steps that are told their index or draw random numbers."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.engine import (
    BurstNeuron,
    Conv2d,
    CurrentBasedLeakyIntegrateAndFire,
    EscapeNoiseLeakyIntegrateAndFire,
    Heterogeneous,
    Input,
    InputError,
    IntegrateAndFire,
    Lapicque,
    ModelFileError,
    Network,
    NeuronError,
    Neurons,
    Output,
    load_model,
    register_neuron,
    save_model,
    simulate,
)
from spikeunet.engine.kernels.step_inputs import drawn, mixed
from spikeunet.engine.learning.finetune import Settings, Trainer
from spikeunet.engine.neurons import layer_key, random_number
from spikeunet.engine.testing import check_case, check_neuron, neuron_checks, reference
from spikeunet.engine.testing.checks import Case
from spikeunet.engine.testing.comparison import assert_same_arrays

TAUS = [0.004, 0.01, 0.02, 0.04]
RECORDS = ("spikes", "membrane", "spike_count")


@register_neuron("tests/dither", compile_now=False)
@dataclass(frozen=True)
class Dither:
    """Fires where the potential exceeds a random number; in eighths, so that the readout is exact."""

    seed: int = 0
    initial: float = 0.0

    conserves_charge = True
    rests = False

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, 1.0

    @staticmethod
    def step(current, v, random):
        v += current
        return (1, v - 1) if v > random else (0, v)


@register_neuron("tests/gate", compile_now=False)
@dataclass(frozen=True)
class Gate:
    """Takes its input at every `period`-th step alone, counted from `phase`."""

    period: int = 3
    phase: int = 0
    threshold: float = 0.5
    initial: float = 0.0

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, 1.0

    @staticmethod
    def step(current, v, threshold, phase, period, step_index):
        if step_index % period != phase:
            return 0, v
        v += current
        return (1, 0.0) if v >= threshold else (0, v)


def network(model, channels=4):
    """Two layers of neurons on dyadic weights, the second with the model, too."""
    generator = np.random.default_rng(0)

    def weight(*shape):
        return np.float32(generator.integers(-4, 9, shape) / 16)

    return Network(
        [
            Input("input"),
            Conv2d("conv1", "input", weight(channels, 1, 3, 3), padding=1),
            Neurons("first", "conv1", model),
            Conv2d("conv2", "first", weight(channels, channels, 3, 3), padding=1),
            Neurons("second", "conv2", model),
            Conv2d("readout", "second", weight(1, channels, 1, 1)),
            Output("output", "readout"),
        ]
    )


PICTURE = np.float32(np.random.default_rng(3).integers(0, 17, (1, 12, 6)) / 16)
PER_NEURON = Heterogeneous(
    Lapicque(r=8.0),
    {
        "tau_mem": np.random.default_rng(5).uniform(0.004, 0.04, (4, 12, 6)),
        "threshold": [0.25, 0.5, 0.75, 1.0],
        "initial": np.random.default_rng(6).integers(0, 8, (4, 12, 6)) / 8,
    },
)


def assert_alike(found, expected):
    """Spikes, potentials and counts of the neurons, and the outputs."""
    for kind in ("spikes", "membrane", "spike_count"):
        assert_same_arrays(getattr(found, kind), getattr(expected, kind), kind)
    np.testing.assert_array_equal(found.output, expected.output)


def assert_one_result(network, picture=PICTURE, steps=9):
    """Orders, threads and tiles agree, and with the specification."""
    first = simulate(network, picture, steps, record=RECORDS, threads=1)
    for options in ({"threads": 2}, {"order": "time"}, {"tile": 4}, {"tile": 5, "threads": 2}):
        assert_alike(simulate(network, picture, steps, record=RECORDS, **options), first)
    expected = reference.simulate(network, picture, steps)
    for kind in ("spikes", "membrane", "spike_count"):
        assert_same_arrays(getattr(first, kind), getattr(expected, kind), kind)
    return first


# --- Parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Heterogeneous(Lapicque(r=8.0), {"tau_mem": TAUS}), PER_NEURON])
def test_neurons_that_differ(model):
    spikes = assert_one_result(network(model)).spikes["first"]
    assert len({tuple(spikes[:, channel].ravel()) for channel in range(4)}) == 4


def test_each_channel_is_a_model_of_its_own():
    model = Heterogeneous(Lapicque(r=8.0), {"tau_mem": TAUS})
    together = simulate(network(model), PICTURE, 8, record=("spikes",)).spikes["first"]
    for channel, tau in enumerate(TAUS):
        alone = simulate(network(Lapicque(tau, r=8.0)), PICTURE, 8, record=("spikes",)).spikes["first"]
        np.testing.assert_array_equal(together[:, channel], alone[:, channel])


def test_whole_numbers_and_truth_values_differ_too():
    model = Heterogeneous(Gate(), {"period": [1, 2, 3, 4], "phase": [0, 1, 2, 3]})
    assert_one_result(network(model))
    late = Heterogeneous(Lapicque(r=16.0), {"late_reset": [True, False, True, False]})
    assert_one_result(network(late))


def test_a_file_keeps_every_parameter(tmp_path):
    save_model(network(PER_NEURON), tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert again["first"].model == PER_NEURON
    assert_alike(*(simulate(each, PICTURE, 9, record=RECORDS) for each in (again, network(PER_NEURON))))
    assert int(np.load(tmp_path / "model.npz")["format_version"]) == 3
    save_model(network(Lapicque()), tmp_path / "alike.npz")
    assert int(np.load(tmp_path / "alike.npz")["format_version"]) == 2  # its weights are integers


def damaged(path, **changes):
    arrays = dict(np.load(path)) | {key.replace("__", "/"): value for key, value in changes.items()}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons__first.tau_mem": None}, "missing arrays: neurons/first.tau_mem"),
        ({"neurons__third.tau_mem": np.ones(4)}, "unexpected arrays: neurons/third.tau_mem"),
        ({"neurons__first.tau_mem": np.full(4, -1.0)}, "Lapicque.tau_mem: must be a positive number of seconds"),
        ({"neurons__first.tau_mem": np.ones(4, np.float32)}, "tau_mem of the neurons 'first' must be float64"),
        ({"neurons__first.tau_mem": np.ones((4, 4))}, r"must have the shape \(C,\)"),
        ({"neurons__first.tau_mem": np.array([1, 1, 1, np.nan])}, "NaN|finite"),
    ],
)
def test_files_that_are_refused(tmp_path, changes, message):
    path = tmp_path / "model.npz"
    save_model(network(Heterogeneous(Lapicque(), {"tau_mem": TAUS})), path)
    damaged(path, **changes)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_models_are_values():
    model = Heterogeneous(Lapicque(), {"tau_mem": TAUS})
    same = Heterogeneous(Lapicque(), {"tau_mem": np.array(TAUS)})
    assert model == same
    assert hash(model) == hash(same)
    assert model != Heterogeneous(Lapicque(), {"tau_mem": TAUS[::-1]})
    assert pickle.loads(pickle.dumps(model)) == model
    assert "'tau_mem': 4 from 0.004 to 0.04" in repr(model)
    with pytest.raises(ValueError, match="read-only"):
        model.parameters["tau_mem"][0] = 1


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (IntegrateAndFire(), {"threshold": [1, 2]}, "needs a registered neuron model .*ladder of thresholds are alike"),
        (Lapicque(), {}, "parameters names none"),
        (Lapicque(), {"tau": [1, 2]}, "Lapicque has no parameter 'tau'; it has .*tau_mem"),
        (Lapicque(), {"reset": [1, 2]}, "reset: is no number in Lapicque but str"),
        (Lapicque(), {"r": [1, np.nan]}, r"r: must hold finite numbers \(got nan at \(1,\)\)"),
        (Lapicque(), {"r": ["a"]}, "r: must be an array of float"),
        (Lapicque(), {"r": np.ones((2, 3))}, r"must have the shape \(C,\), a number for each channel, or"),
        (Lapicque(), {"r": [1, 2], "tau_mem": [1, 2, 3]}, "they must be of one layer"),
        (Lapicque(), {"tau_mem": [1, 0]}, "Lapicque.tau_mem: must be a positive number of seconds"),
        (BurstNeuron(), {"threshold": [1, 2]}, "the value of a spike would differ between neurons"),
        (BurstNeuron(), {"gamma": [1.5, 2]}, "gamma: must be a whole number"),
        (Dither(), {"seed": [1, 2]}, "seed: is that of the whole layer"),
    ],
)
def test_parameters_that_are_refused(model, parameters, message):
    with pytest.raises(NeuronError, match=message):
        Heterogeneous(model, parameters)


def test_a_layer_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"Neurons 'first': model has parameters of the shape \(4, 12, 6\), but"):
        simulate(network(PER_NEURON), PICTURE[:, :8], 1)


def test_they_are_not_fine_tuned():
    with pytest.raises(InputError, match=r"neurons whose parameters differ cannot be fine-tuned .'first' has such"):
        Trainer(network(PER_NEURON), None, Settings())


# --- Index of the step and random numbers ----------------------------------------------------------------------------


def test_the_index_of_the_step():
    spikes = simulate(network(Gate(threshold=0.0, period=3, phase=1)), PICTURE, 17, record=("spikes",)).spikes["first"]
    np.testing.assert_array_equal(spikes.any(axis=(1, 2, 3)), np.arange(17) % 3 == 1)


@given(st.integers(0, 2**63), st.integers(0, 2**31), st.integers(0, 2**40))
def test_random_numbers_are_those_of_the_specification(key, step, neuron):
    gamma, whole = np.uint64(0x9E3779B97F4A7C15), 2**64
    begin = np.uint64(mixed(np.uint64((key + step * int(gamma)) % whole)))
    assert drawn(begin, np.int64(neuron)) == random_number(key, step, neuron)


def test_random_numbers_are_even_and_unlike():
    """Means, and correlations between neighbours, steps, layers and seeds, within five standard errors."""
    keys = [layer_key("first", 0), layer_key("second", 0), layer_key("first", 1)]
    assert len(set(keys)) == 3
    drawn = np.array([[[random_number(key, step, n) for n in range(2000)] for step in range(3)] for key in keys])
    assert (drawn >= 0).all()
    assert (drawn < 1).all()
    rows = drawn.reshape(9, 2000) - 0.5
    assert np.abs(rows.mean(1)).max() < 5 * np.sqrt(1 / 12 / 2000)
    assert np.abs((rows**2).mean(1) - 1 / 12).max() < 5 * np.sqrt(1 / 180 / 2000)
    correlation = 12 * (rows @ rows.T) / 2000 - np.diag(12 * (rows**2).mean(1))
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    assert np.abs(12 * (rows[:, 1:] * rows[:, :-1]).mean(1)).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("model", [Dither(), EscapeNoiseLeakyIntegrateAndFire(r=8.0)])
def test_stochastic_neurons_reproduce(model):
    found = assert_one_result(network(model))
    assert found.spikes["second"].any()
    again = simulate(network(model), PICTURE, 9, record=("spikes",))
    np.testing.assert_array_equal(again.spikes["second"], found.spikes["second"])


@given(st.integers(0, 2**32), st.integers(1, 11), st.integers(1, 12), st.integers(0, 5))
def test_stochastic_neurons_reproduce_for_any_schedule(seed, steps, tile, cut):
    """Threads, orders, tiles and the first steps alone give the same spikes, with parameters that differ."""
    model = Heterogeneous(Dither(seed), {"initial": [0.0, 0.25, 0.5, 0.75]})
    built = network(model)
    first = simulate(built, PICTURE, steps, record=RECORDS, threads=1)
    for options in ({"threads": 2}, {"order": "time"}, {"tile": tile, "threads": 2}):
        assert_alike(simulate(built, PICTURE, steps, record=RECORDS, **options), first)
    part = simulate(built, PICTURE, max(1, steps - cut), record=("spikes",))
    for name, spikes in part.spikes.items():
        np.testing.assert_array_equal(spikes, first.spikes[name][: max(1, steps - cut)])


def test_another_seed_is_another_trial():
    first, second = (simulate(network(Dither(seed)), PICTURE, 8, record=("spikes",)).spikes for seed in (0, 1))
    assert (first["first"] != second["first"]).any()


def test_the_checks_take_what_the_engine_gives():
    for model in (Dither(), Gate(threshold=1.5), Dither(7)):
        check_neuron(model)
    case = Case(network(Dither()), PICTURE, 9)
    check_case(case)


def test_escape_noise_fires_at_the_rate_that_it_says():
    """At the threshold, held there by a reset of nearly nothing: 1 - exp(-dt / tau_escape) spikes a step."""
    model = EscapeNoiseLeakyIntegrateAndFire(tau_mem=1e-6, threshold=1.0, width=1.0, tau_escape=0.002)
    _, emitted, _ = neuron_checks.respond(model, np.ones((50, 200)))
    rate = 1 - np.exp(-0.5)
    assert abs(emitted.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / emitted.size)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"random": 0.5}, "takes 'random', which the engine gives, and so is no name for an attribute; rename it"),
        ({}, r"takes 'random', and so the model needs a field 'seed', a whole number \(got None\)"),
        ({"seed": 1.5}, r"a whole number \(got 1.5\)"),
    ],
)
def test_registrations_that_are_refused(attributes, message):
    fields = {"__annotations__": {"initial": float}, "initial": 0.0, **attributes}
    methods = {"state": lambda self: {"v": self.initial}, "levels": lambda self: (0.0, 1.0)}
    methods["step"] = staticmethod(lambda current, v, random: (int(v > random), v + current))
    with pytest.raises(NeuronError, match=message):
        register_neuron(dataclass(frozen=True)(type("Broken", (), fields | methods)))


def test_a_restless_model_says_so_and_is_told_how():
    @register_neuron("tests/pacemaker", compile_now=False)
    @dataclass(frozen=True)
    class Pacemaker:
        rests: bool = True
        initial: float = 0.0

        def state(self):
            return {"v": self.initial}

        def levels(self):
            return 0.0, 1.0

        @staticmethod
        def step(current, v):
            v += current + 0.25
            return (1, v - 1) if v >= 1 else (0, v)

    with pytest.raises(AssertionError, match=r"fires without input.*says so by rests = False"):
        neuron_checks.silence(Pacemaker())
    neuron_checks.silence(Pacemaker(rests=False))
    check_neuron(Pacemaker(rests=False))


def test_a_state_that_is_no_potential_is_a_rest_too():
    """Current-based neurons rest where their current is 0, wherever the potential begins."""
    model = CurrentBasedLeakyIntegrateAndFire(v_leak=-0.5, initial=-0.5)
    assert neuron_checks.resting_state(model) == (-0.5, 0.0)
    check_neuron(model)
