"""Neuron models in seconds: beside snnTorch, sinabs and the exact solution, alone in the engine, and by hand."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
import pytest

from spikeunet.engine import (
    AdaptiveLeakyIntegrateAndFire,
    Add,
    AlphaNeuron,
    Conv2d,
    CurrentBasedLeakyIntegrateAndFire,
    EscapeNoiseLeakyIntegrateAndFire,
    Input,
    Integrator,
    InterpolatedLeakyIntegrateAndFire,
    Izhikevich,
    Lapicque,
    LeakyIntegrator,
    Linear,
    MultiThreshold,
    Network,
    NeuronError,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.neurons import level_table, registered, registered_names
from spikeunet.engine.neurons.firing import LadderModel
from spikeunet.engine.neurons.registry import try_out
from spikeunet.engine.neurons.stepped import SteppedModel
from spikeunet.engine.testing import check_neuron, neuron_checks

GENERATOR = np.random.default_rng(1)
DRIVE = np.float32(GENERATOR.normal(0.6, 1.2, (60, 40)))
MODELS = [
    Lapicque(),
    Lapicque(integration="euler", reset="zero", late_reset=True, strict=True, v_leak=0.25, initial=0.25),
    CurrentBasedLeakyIntegrateAndFire(),
    AdaptiveLeakyIntegrateAndFire(),
    AlphaNeuron(),
    Izhikevich(),
    Izhikevich(bias=10.0, initial=-65.0),
    LeakyIntegrator(v_leak=-0.5, initial=-0.5),
    Integrator(2.0),
    EscapeNoiseLeakyIntegrateAndFire(),
    InterpolatedLeakyIntegrateAndFire(tau_syn=0.005, initial=0.5),
]


# Each has kernels of its own, which take seconds to compile.
QUICK = (Lapicque, EscapeNoiseLeakyIntegrateAndFire)
CHECKED = [pytest.param(model, marks=() if isinstance(model, QUICK) else pytest.mark.slow) for model in MODELS]


OWN = [each for each in registered_names() if registered(each).model.__module__.startswith("spikeunet.engine.")]
"""Models of the package, which trusts them upon import."""


@pytest.mark.parametrize("name", OWN)
def test_what_registering_tries_of_other_models_holds(name):
    try_out(registered(name))


@pytest.mark.parametrize("model", CHECKED, ids=lambda model: type(model).__name__)
def test_all_checks_hold(model):
    check_neuron(model)


def assert_like(model, membrane, spikes, drive=DRIVE):
    """The specification of a model beside another simulator's potentials and spikes, (T, N)."""
    found, emitted, _ = neuron_checks.respond(model, drive)
    np.testing.assert_array_equal(emitted, spikes)
    assert emitted.any()
    np.testing.assert_allclose(found, membrane, rtol=2e-5, atol=2e-5)


def by_snntorch(layer, drive=DRIVE, states=1):
    """Spikes and potentials of a layer of snnTorch."""
    torch = pytest.importorskip("torch")
    state = tuple(torch.zeros(drive.shape[1]) for _ in range(states))
    spikes, membranes = [], []
    for current in torch.from_numpy(drive):
        spike, *state = layer(current, *state)
        spikes.append(spike.detach().numpy())
        membranes.append(state[-1].detach().numpy())
    return np.stack(membranes), np.stack(spikes)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_lapicque_is_snntorch_s(reset):
    snntorch = pytest.importorskip("snntorch")
    layer = snntorch.Lapicque(R=5.0, C=0.004, time_step=0.001, reset_mechanism=reset)
    model = Lapicque(0.02, 5.0, dt=0.001, integration="euler", reset=reset, late_reset=True, strict=True)
    assert_like(model, *by_snntorch(layer))


@pytest.mark.parametrize("late", [True, False])
def test_a_current_based_neuron_is_snntorch_s(late):
    snntorch = pytest.importorskip("snntorch")
    layer = snntorch.Synaptic(alpha=0.8, beta=0.9, reset_delay=late)
    model = CurrentBasedLeakyIntegrateAndFire(
        0.005, 0.01, 5.0, 10.0, dt=0.001, integration="euler", late_reset=late, strict=True
    )
    # So small that a reset leaves no potential above the threshold, which snnTorch without delay would reset late.
    drive = 0.03 * DRIVE
    assert_like(model, *by_snntorch(layer, drive, states=2), drive)


def test_an_alpha_neuron_is_snntorch_s():
    snntorch = pytest.importorskip("snntorch")
    rise, fall = -0.001 / math.log(0.7), -0.001 / math.log(0.9)
    layer = snntorch.Alpha(alpha=0.9, beta=0.7)
    assert_like(AlphaNeuron(rise, fall, dt=0.001), *by_snntorch(layer, states=3))


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_an_adaptive_neuron_is_sinabs_s(reset):
    torch, layers = pytest.importorskip("torch"), pytest.importorskip("sinabs.layers")
    from sinabs.activation import MembraneReset, MembraneSubtract

    layer = layers.ALIF(
        tau_mem=20.0, tau_adapt=50.0, adapt_scale=1.5, spike_threshold=0.5, norm_input=True,
        reset_fn=MembraneSubtract() if reset == "subtract" else MembraneReset(),
    )  # fmt: skip
    drive = 4 * DRIVE
    spikes = layer(torch.from_numpy(drive)[None])[0].detach().numpy()
    model = AdaptiveLeakyIntegrateAndFire(0.02, 0.05, threshold=0.5, adaptation=1.5, dt=0.001, reset=reset)
    membrane, emitted, _ = neuron_checks.respond(model, drive)
    np.testing.assert_array_equal(emitted, spikes)
    assert emitted.any()
    np.testing.assert_allclose(membrane[-1], layer.v_mem[0].detach(), rtol=2e-5, atol=2e-5)


def test_a_recurrent_neuron_is_snntorch_s():
    """Spikes come back through a matrix, a step later: snnTorch's RLeaky, and an edge with a delay."""
    torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
    size, steps = 12, 16
    weight = np.float32(GENERATOR.normal(0, 0.6, (size, size)))
    layer = snntorch.RLeaky(beta=0.75, linear_features=size, reset_mechanism="subtract")
    with torch.no_grad():
        layer.recurrent.weight[:], layer.recurrent.bias[:] = torch.from_numpy(weight), 0.0
    current = np.float32(GENERATOR.normal(0.5, 0.5, size))
    spike, membrane, expected = torch.zeros(size), torch.zeros(size), []
    for _ in range(steps):
        spike, membrane = layer(torch.from_numpy(current), spike, membrane)
        expected.append(spike.detach().numpy())
    model = Lapicque(0.004, 4.0, dt=0.001, integration="euler", late_reset=True, strict=True)
    network = Network(
        [
            Input("input", size),
            Conv2d("in", "input", np.eye(size, dtype=np.float32)[:, :, None, None]),
            Linear("back", "neurons", weight, delay=1),
            Add("sum", ("in", "back")),
            Neurons("neurons", "sum", model),
            Output("output", "in"),
        ]
    )
    found = simulate(network, current[:, None, None], steps, record=("spikes", "membrane"))
    np.testing.assert_array_equal(found.spikes["neurons"][:, :, 0, 0], np.stack(expected))
    np.testing.assert_allclose(found.membrane["neurons"][:, 0, 0], membrane.detach(), rtol=1e-4, atol=1e-5)
    assert np.stack(expected).any()


def test_izhikevich_s_equations_in_float64():
    """Regular spiking at a constant input of 10: the equations of the paper by Euler's method, written anew."""
    v, u, spikes, expected = -65.0, -13.0, [], []
    for step in range(2000):
        v, u = v + 0.5 * (0.04 * v * v + 5 * v + 140 - u + 10), u + 0.5 * 0.02 * (0.2 * v - u)
        if v > 30:
            v, u = -65.0, u + 8
            spikes.append(step)
        expected.append(v)
    membrane, emitted, _ = neuron_checks.respond(Izhikevich(initial=-65.0), np.full((2000, 1), 10.0))
    fired = np.flatnonzero(emitted[:, 0])
    # A spike grows out of rounding errors as out of anything else: times, not bits, are the same.
    assert len(fired) == len(spikes)
    assert np.abs(fired - spikes).max() <= 1
    np.testing.assert_allclose(membrane[: spikes[0], 0], expected[: spikes[0]], rtol=1e-4)
    # Bursts wear off to the regular spiking of the paper's figure 2.
    assert 20 < len(fired) < 40
    assert np.ptp(np.diff(fired)[3:]) <= 2


@pytest.mark.parametrize("tau", [0.0025, 0.02])
def test_exponential_integration_is_exact_for_a_constant_input(tau):
    membrane, _, _ = neuron_checks.respond(LeakyIntegrator(tau, 3.0, -0.5), np.full((50, 1), 0.75))
    time = 0.001 * np.arange(1, 51)
    rest = -0.5 * (1 - np.exp(-time / tau))
    np.testing.assert_allclose(membrane[:, 0], rest + 3 * 0.75 * (1 - np.exp(-time / tau)), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lapicque(tau_mem=0.0), r"Lapicque.tau_mem: must be a positive number of seconds \(got 0.0\)"),
        (lambda: Lapicque(dt=-1.0), "Lapicque.dt: must be a positive number of seconds"),
        (lambda: Lapicque(integration="exact"), "Lapicque.integration: must be one of exponential, euler"),
        (
            lambda: Lapicque(0.001, dt=0.002, integration="euler"),
            "Lapicque.dt: must be no longer than tau_mem, 0.001 s, .*take a shorter step or 'exponential'",
        ),
        (lambda: CurrentBasedLeakyIntegrateAndFire(w_in=math.nan), "w_in: must be a finite float32 number"),
        (lambda: AdaptiveLeakyIntegrateAndFire(adaptation=-1.0), "adaptation: must not be negative"),
        (lambda: AlphaNeuron(0.02, 0.02), "tau_rise: must be shorter than tau_fall"),
        (lambda: Izhikevich(dt=0.01), "Izhikevich.dt: must be at most 0.002 s"),
        (lambda: EscapeNoiseLeakyIntegrateAndFire(width=0.0), "width: must be positive"),
        (lambda: EscapeNoiseLeakyIntegrateAndFire(seed=-1), "seed: must be a whole number from 0"),
    ],
)
def test_parameters_that_are_refused(make, message):
    with pytest.raises(NeuronError, match=message):
        make()


# --- Traces of one neuron by other simulators ------------------------------------------------------------------------

EXPONENTIAL = Lapicque(0.0025, threshold=0.1, dt=1e-4, strict=True)
EULER = Lapicque(0.0025, threshold=0.1, dt=1e-4, strict=True, integration="euler", reset="zero")
TRACES = {
    # The exact solution is reset when it meets the threshold, within a step, and not at its end.
    "exact": (EXPONENTIAL, 1.0, 7e-4),
    "norse": (EULER, 1.0, 1e-6),
    # An input adds 1 where it adds 1/25 to ours; the threshold is 2.5.
    "snntorch": (EULER, 25.0, 1e-6),
    # An input adds dt / tau, as Euler's method has it, and the leak is exponential.
    "sinabs": (Lapicque(0.0025, 0.04 / -math.expm1(-0.04), threshold=0.1, dt=1e-4), 1.0, 1e-6),
}
"""By simulator, our model, its potential in units of ours, and the largest difference that is allowed."""


def trace(checkpoints, simulator):
    """Input, potential and spikes, (T,) each."""
    return np.loadtxt(checkpoints / f"lif_{simulator}.csv", delimiter=",", ndmin=2).T


@pytest.mark.parametrize("simulator", TRACES)
def test_traces_of_other_simulators(simulator, shared_checkpoints):
    model, unit, most = TRACES[simulator]
    _, potential, spikes = trace(shared_checkpoints, simulator)
    drive = trace(shared_checkpoints, "exact")[0]
    membrane, emitted, _ = neuron_checks.respond(model, drive[:, None])
    np.testing.assert_array_equal(np.flatnonzero(emitted[:, 0]), np.flatnonzero(spikes))
    differences = np.abs(membrane[:, 0] - potential / unit)
    assert differences.max() < most
    assert differences[: int(np.flatnonzero(spikes)[0])].max() < 1e-6


def test_protocols_are_followed_by_objects_that_have_all_they_name():
    class Incomplete:
        initial, firing_constants = 0.0, None

    @runtime_checkable
    class More(LadderModel, Protocol):
        def more(self): ...

    class Only:
        def more(self): ...

    class Stated(LadderModel):
        """Says itself that it follows the protocol."""

    assert isinstance(MultiThreshold(), LadderModel)
    assert not isinstance(MultiThreshold(), SteppedModel | More | Stated)
    assert not isinstance(MultiThreshold, LadderModel)
    assert not isinstance(Incomplete(), LadderModel)
    assert not isinstance(Only(), More)


def test_firing_constants_that_are_none():
    class Unfinished:
        initial = 0.0

        def firing_constants(self):
            """Returns nothing yet."""

    with pytest.raises(NeuronError, match=r"Unfinished.firing_constants: must return FiringConstants \(got None\)"):
        level_table(Unfinished())
