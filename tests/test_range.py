"""Numbers as large as float32 holds are computed exactly; beyond, a run is refused and names the layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from own_neurons import Plain

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Conv2d,
    Input,
    InputError,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MaxPool2d,
    MultiThreshold,
    Network,
    NeuronError,
    Neurons,
    Output,
    RangeError,
    Scale,
    SignedMultiThreshold,
    forward,
    register_neuron,
    simulate,
)
from spikeunet.engine.binding import bounds, build_program
from spikeunet.engine.memory import aligned_empty
from spikeunet.engine.simulation.memory import layer_state
from spikeunet.engine.tasks.segmentation import softmax
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_arrays

ONE = np.ones((1, 1, 1, 1), np.float32)
HUGE = np.float32(3e38)


def driven(model, biases, weight=0.0, readout=1.0):
    """Neurons that a bias each drives, and a readout of their events."""
    channels = len(biases)
    first = Conv2d("conv", "input", np.full((channels, 1, 1, 1), weight, np.float32), np.float32(biases))
    nodes = [Input("input"), first, Neurons("neurons", "conv", model)]
    readout = Conv2d("readout", "neurons", np.full((1, channels, 1, 1), readout, np.float32))
    return Network([*nodes, readout, Output("output", "readout")])


PIXEL = np.ones((1, 1, 1), np.float32)


@pytest.mark.parametrize("order", ["layer", "time"])
def test_what_fills_up_the_channels_is_no_business_of_who_watches(order, monkeypatch):
    """Potentials behind a max pool are looked at; memory that was used before may hold anything."""

    def used(size):
        array = aligned_empty(size)
        array[:] = np.nan
        return array

    monkeypatch.setattr(layer_state, "aligned_empty", used)
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("first", "conv")]
    nodes += [MaxPool2d("pool", "first", 1), Neurons("second", "pool", SignedMultiThreshold())]
    network = Network([*nodes, Conv2d("readout", "second", ONE), Output("output", "readout")])
    found = simulate(network, PIXEL, 3, record=("membrane",), order=order)
    np.testing.assert_array_equal(found.output, reference.simulate(network, PIXEL, 3).output)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_neurons_do_not_see_each_others_overflow(steps):
    """In quanta of 1/64, potentials of 2**127 have no float32 number: that is no business of the neurons beside."""
    model = MultiThreshold((1 / 32, 1 / 64), initial=2.0**127)
    # A whole vector of large ones: where lanes are left over, these are the neurons at rest beside them.
    large = [-(2.0**125)] * 64
    found, *others = (
        simulate(driven(model, [*large[:63], last]), PIXEL, steps, record=("spikes", "membrane"))
        for last in (-(2.0**125), 0.0, 1.0)
    )
    for other in others:
        np.testing.assert_array_equal(found.spikes["neurons"][:, :63], other.spikes["neurons"][:, :63])
        np.testing.assert_array_equal(found.membrane["neurons"][:63], other.membrane["neurons"][:63])
    potential = 2.0**127
    for step in range(steps):
        potential -= 2.0**125
        np.testing.assert_array_equal(found.spikes["neurons"][step, 0].item(), 3 / 64 if potential > 0 else 0)


@pytest.mark.parametrize("size", [2.0**exponent for exponent in (-126, -100, 20, 22, 23, 24, 63, 100, 120)])
def test_the_closed_form_is_the_cascade(size):
    """On potentials of any size, of either sign, and in every order: also where float32 rounds what is taken away."""
    random = np.random.default_rng(0)
    biases = (random.integers(-16, 17, 21) / 16 * size).astype(np.float32)
    ladder = MultiThreshold((1 / 16, 1 / 32, 1 / 64), initial=size)
    closed = driven(ladder, biases)

    @dataclass(frozen=True)
    class Cascade(MultiThreshold):
        """Written down as thresholds that are no longer powers of two: the last one is never reached."""

        def firing_constants(self):
            constants = super().firing_constants()
            compare, subtract = (
                np.append(a, b) for a, b in ((constants.compare, HUGE), (constants.subtract, np.float32(0)))
            )
            return replace(constants, compare=compare.astype(np.float32), subtract=subtract.astype(np.float32))

    cascade = driven(Cascade(ladder.thresholds, initial=size), biases)
    kinds = ("spikes", "membrane", "readout")
    expected = simulate(cascade, PIXEL, 8, record=kinds)
    for order in ("layer", "time"):
        found = simulate(closed, PIXEL, 8, order, record=kinds)
        np.testing.assert_array_equal(found.spikes["neurons"], expected.spikes["neurons"])
        np.testing.assert_array_equal(found.membrane["neurons"], expected.membrane["neurons"])


def test_the_largest_numbers_are_exact():
    """Potentials up to the largest float32 number, with thresholds to match; nothing is refused too early."""
    for model in (
        IntegrateAndFire(2.0**126, initial=2.0**126),
        IntegrateAndFire(2.0**126, "zero"),
        LeakyIntegrateAndFire(2.0**125, 0.5),
        MultiThreshold((2.0**126, 2.0**125)),
        Plain(2.0**126),
    ):
        network = driven(model, [2.0**124, -(2.0**123), 2.0**125], readout=1 / 64)
        expected = reference.simulate(network, PIXEL, 4)
        assert expected.events["neurons"].sum()
        for order in ("layer", "time"):
            assert_same(simulate(network, PIXEL, 4, order, record=RECORDS), expected)


@register_neuron("tests/to-zero", compile_now=False)
@dataclass(frozen=True)
class ToZero(Plain):
    """Fires and begins anew."""

    conserves_charge = False

    @staticmethod
    def step(current, v, threshold):
        v += current
        return (1, 0.0) if v >= threshold else (0, v)


GROWING = {
    "subtract": IntegrateAndFire(1.0),
    "zero": IntegrateAndFire(1.0, "zero", initial=HUGE),
    "leak": LeakyIntegrateAndFire(1.0, 0.0, initial=-HUGE),
    "ladder": MultiThreshold((0.5, 0.25)),
    "registered": Plain(1.0),
}


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("bias", [HUGE, -HUGE])
def test_what_leaves_float32_is_refused(name, bias):
    """Be it the current (twice the largest number) or the potential that grows; in every order."""
    model = GROWING[name]
    for weight, steps in ((bias, 1), (0.0, 3)):
        if weight == 0 and name in ("zero", "leak"):
            continue  # They forget what they had.
        network = driven(model, [0.0, bias], weight)
        for order, tile, threads in (("layer", None, 1), ("layer", None, 2), ("time", None, 1), ("layer", 1, 1)):
            with pytest.raises(RangeError, match=r"of 'neurons' leaves the range of float32 .*; scale its weights"):
                simulate(network, np.ones((1, 2, 2), np.float32), steps, order, threads, tile=tile)


def test_a_reset_to_zero_after_much_input_is_zero():
    """Each current is finite, and so is all that is kept: nothing is refused."""
    for model in (IntegrateAndFire(1.0, "zero"), ToZero(1.0)):
        found = simulate(driven(model, [HUGE, 1.0]), PIXEL, 9, record=("spikes", "membrane"))
        assert found.spikes["neurons"].all()
        assert not found.membrane["neurons"].any()


def test_the_readout_and_pools_are_watched_too():
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", IntegrateAndFire(1.0))]
    readout = Conv2d("readout", "neurons", np.full((1, 1, 2, 2), HUGE, np.float32))
    with pytest.raises(RangeError, match="the readout of 'output' leaves"):
        simulate(Network([*nodes, readout, Output("output", "readout")]), np.ones((1, 2, 2), np.float32), 1)
    large = [Neurons("neurons", "conv", IntegrateAndFire(2.0**127)), AvgPool2d("pool", "neurons", 2)]
    network = Network([Input("input"), Conv2d("conv", "input", ONE), *large, Output("output", "pool")])
    with pytest.raises(RangeError, match="the readout of 'output' leaves"):
        simulate(network, np.full((1, 2, 2), 2.0**127, np.float32), 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weights", [(3e38, -3e38), (3e38, 3e38)])
@pytest.mark.parametrize("options", [{}, {"order": "time"}, {"tile": 1}, {"record": ("readout",)}])
def test_sums_of_currents_are_watched_and_warn_of_nothing(weights, options):
    parts = [Conv2d(f"part{k}", "relu", np.full((1, 1, 1, 1), weight)) for k, weight in enumerate(weights)]
    added = [Add("sum", ("part0", "part1", "part0")), Output("output", "sum")]
    nodes = [Input("input", 1), Scale("scale", "input", np.full(1, 4.0)), Neurons("relu", "scale"), *parts, *added]
    with pytest.raises(RangeError, match="the readout"):
        simulate(Network(nodes), np.ones((1, 2, 2)), steps=2, **options)


@pytest.mark.filterwarnings("error")
def test_recorded_readouts_warn_of_nothing():
    nodes = [Input("input", 1), Scale("scale", "input", np.full(1, 4.0)), Neurons("relu", "scale")]
    network = Network([*nodes, Scale("readout", "relu", np.full(1, 7e37)), Output("output", "readout")])
    with pytest.raises(RangeError, match="the readout"):
        simulate(network, np.ones((1, 2, 2)), steps=8, record=("readout",))


def test_ordinary_networks_are_not_watched():
    """A hundred thousand steps of weights up to 1000, and pictures far beyond [0, 1]."""
    for model in (*GROWING.values(), LeakyIntegrateAndFire()):
        network = driven(replace(model, initial=0.0), [1000.0] * 64, 1000.0)
        for layer in build_program(network, (1, 8, 8)).layers:
            assert bounds.picture_limit(layer, 100_000) > 1e12


def test_the_artificial_network_is_refused_likewise():
    large = np.full((1, 1, 1, 1), 1e30, np.float32)
    for sign in (1, -1):
        nodes = [Input("input"), Conv2d("first", "input", large), Neurons("neurons", "first")]
        network = Network([*nodes, Conv2d("second", "neurons", sign * large), Output("output", "second")])
        with pytest.raises(RangeError, match="a current of 'second' leaves the range of float32"):
            forward(network, np.ones((1, 2, 2), np.float32))
    assert forward(network, np.zeros((1, 2, 2), np.float32))[0].tolist() == [[[0, 0], [0, 0]]]


@dataclass(frozen=True)
class OwnLadder:
    """A ladder of one's own, whose constants are changed."""

    changes: tuple = ()
    initial: float = 0.0

    def firing_constants(self):
        return replace(MultiThreshold().firing_constants(), **dict(self.changes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiThreshold((3e38, 2e38)), "the sum of the thresholds: must be a finite float32 number"),
        (lambda: OwnLadder((("emit", np.full(256, np.inf, np.float32)),)), "emit must be finite float32 numbers"),
        (lambda: OwnLadder((("decay", np.nan),)), "decay must be finite"),
        (lambda: OwnLadder((("subtract", np.zeros(3, np.float32)),)), "compare and subtract must hold 1 to 8 numbers"),
        (lambda: OwnLadder(initial=1e40), "initial: must be a finite float32 number"),
    ],
)
def test_ladders_that_no_float32_number_can_hold(make, message):
    with pytest.raises(NeuronError, match=message):
        Neurons("neurons", "conv", make())


def test_an_own_ladder_that_grows_is_watched_and_not_refused():
    """A factor of 2 at each step, and thresholds that keep up with it, or not."""
    network = driven(OwnLadder((("decay", 2.0),)), [0.5, 1.0, 0.25])
    found, expected = simulate(network, PIXEL, 40, record=RECORDS), reference.simulate(network, PIXEL, 40)
    assert_same_arrays(found.spikes, expected.spikes, "spikes")
    with pytest.raises(RangeError, match="a membrane potential of 'neurons'"):
        simulate(driven(OwnLadder((("decay", 2.0),)), [8.0]), PIXEL, 200)


def test_softmax_of_the_largest_scores():
    scores = np.float32([HUGE, -HUGE, 0]).reshape(3, 1, 1)
    assert softmax(scores).ravel().tolist() == [1, 0, 0]


# --- Counts ----------------------------------------------------------------------------------------------------------


@register_neuron("tests/many-spikes", compile_now=False)
@dataclass(frozen=True)
class ManySpikes(Plain):
    """An event counts as many times as one can."""

    def spikes(self):
        return 0, 2**15 - 1


def test_counts_that_do_not_fit_are_refused_before_the_run():
    """A hundred thousand steps of 50,000 neurons that reach 60,000 targets each: 2**63 accumulates and more."""
    many = np.ones((60_000, 1, 1, 1), np.float32)
    nodes = [Input("input"), Conv2d("conv", "input", ONE), Neurons("neurons", "conv", ManySpikes())]
    network = Network([*nodes, Conv2d("many", "neurons", many), Output("output", "many")])
    picture = np.zeros((1, 200, 250), np.float32)
    most = 2**63 // (50_000 * 60_000 * (2**15 - 1))
    with pytest.raises(InputError, match=rf"steps of 'many' may take 9.8e\+18 accumulates.*; run at most {most} steps"):
        simulate(network, picture, 100_000)
    program = build_program(network, picture.shape)
    bounds.check_counts(program, most)
    with pytest.raises(InputError, match="accumulates"):
        bounds.check_counts(program, most + 1)
