"""Leaky neurons at rest are left out until an event reaches them: who rests, that nothing changes, and who sleeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from few_events import a_few, dense, network, stream, strong
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.engine import (
    AdaptiveLeakyIntegrateAndFire,
    AlphaNeuron,
    BurstNeuron,
    CurrentBasedLeakyIntegrateAndFire,
    EscapeNoiseLeakyIntegrateAndFire,
    Heterogeneous,
    Input,
    Izhikevich,
    Lapicque,
    LeakyIntegrateAndFire,
    Network,
    RefractoryLeakyIntegrateAndFire,
    Stream,
    register_neuron,
    simulate,
)
from spikeunet.engine.binding import gather_layer
from spikeunet.engine.binding.stepper import Stepper
from spikeunet.engine.neurons import rests_exactly
from spikeunet.engine.simulation import picture_run
from spikeunet.engine.simulation.memory import layer_state
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

LEAKY = LeakyIntegrateAndFire(0.5, decay=0.5)
FORGETFUL = LeakyIntegrateAndFire(0.5, decay=0.0, reset="zero")
TAUS = np.random.default_rng(5).uniform(0.004, 0.04, (4, 8, 10))
PER_NEURON = Heterogeneous(Lapicque(r=8.0), {"tau_mem": TAUS})
PER_CHANNEL = Heterogeneous(Lapicque(r=8.0), {"tau_mem": TAUS[:, 0, 0]})


# --- Who rests -------------------------------------------------------------------------------------------------------


@register_neuron("test-at-rest/own", compile_now=False)
@dataclass(frozen=True)
class Own:
    """A model of a user, whose rest is what `state` says: a counter goes up to `top` and stays there."""

    initial: float = 0.0
    count: float = 3.0
    top: float = 3.0
    rate: float = 0.0

    def state(self):
        return {"v": self.initial, "c": self.count}

    def levels(self):
        return 0.0, 1.0

    @staticmethod
    def step(current, v, c, top, rate):
        c = min(c + 1, top)
        v = 0.5 * v + current + 0.25 / c * rate
        return (1, v - 1, c - 1) if v >= 1 else (0, v, c)


@register_neuron("test-at-rest/pacemaker", compile_now=False)
@dataclass(frozen=True)
class Pacemaker(Own):
    rests = False


class Eager(LeakyIntegrateAndFire):
    """A ladder that fires at a potential of 0."""

    def firing_constants(self):
        constants = super().firing_constants()
        return type(constants)(**{**vars(constants), "compare": np.float32([-0.5])})


@pytest.mark.parametrize(
    "model",
    [
        LEAKY,
        LeakyIntegrateAndFire(0.5, initial=0.25),  # which begins awake
        Lapicque(),
        Lapicque(r=-1.0),  # -0 is what its step adds
        Lapicque(v_leak=0.1, initial=0.1),
        CurrentBasedLeakyIntegrateAndFire(),
        AdaptiveLeakyIntegrateAndFire(),
        AlphaNeuron(),
        RefractoryLeakyIntegrateAndFire(),
        BurstNeuron(),
        BurstNeuron(1.0, initial=0.5),
        Izhikevich(),
        PER_NEURON,
        Heterogeneous(Lapicque(), {"v_leak": [0.25, 0.5], "initial": [0.25, 0.5]}),
        Own(),
    ],
)
def test_models_that_rest(model):
    assert rests_exactly(model)


@pytest.mark.parametrize(
    "model",
    [
        Eager(),
        Lapicque(v_leak=0.5),
        AlphaNeuron(initial=2.0),
        BurstNeuron(1.0, initial=1.5),
        EscapeNoiseLeakyIntegrateAndFire(),
        Izhikevich(bias=5.0),
        Heterogeneous(Lapicque(), {"v_leak": [0.0, 0.5]}),
        Own(count=2.0),
        Own(count=0.0, top=0.0),  # Python divides by 0
        Own(rate=1.0),
        Pacemaker(),
    ],
)
def test_models_that_do_not(model):
    assert not rests_exactly(model)


# --- Nothing changes -------------------------------------------------------------------------------------------------


def events(draw):
    """Some, so few that most pixels stay silent, at the beginning, the end or throughout."""
    steps = st.sampled_from([0, 3, 7, 8])
    each = st.tuples(steps, st.integers(0, 7), st.integers(0, 9), st.integers(0, 1))
    return stream(draw(st.lists(each, max_size=8), label="events"))


@given(
    st.data(),
    st.sampled_from([LEAKY, FORGETFUL, LeakyIntegrateAndFire(0.5, 0.5, initial=-0.25), PER_CHANNEL, PER_NEURON]),
    st.sampled_from([1, 8]),
)
def test_same_as_the_specification(data, model, cut):
    """In one run, step by step, and cut with the state handed over, a pixel that has gone back to rest included."""
    given_events = events(data.draw)
    net = network(model, given_events.encoder, second=FORGETFUL)
    expected = reference.simulate(net, dense(given_events), given_events.steps)
    assert_same(simulate(net, given_events, record=RECORDS, threads=1), expected)
    assert_same(simulate(net, given_events, record=RECORDS, threads=2, order="time"), expected)
    parts = Stream(net)
    for first in range(0, given_events.steps, cut):
        parts.push(given_events[first : first + cut])
    for name, membrane in expected.membrane.items():
        np.testing.assert_array_equal(parts.state.neurons[name][0], membrane)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Own(), CurrentBasedLeakyIntegrateAndFire(r=20.0)])
def test_models_with_more_variables(model):
    net = network(model, a_few().encoder)
    expected = reference.simulate(net, dense(a_few()), 9)
    assert_same(simulate(net, a_few(), record=RECORDS), expected)
    batch = simulate(net, [a_few(), stream([])], record=RECORDS)
    np.testing.assert_array_equal(batch.spikes["first"][0], expected.spikes["first"])
    assert not batch.membrane["first"][1].any()


@pytest.mark.slow
def test_kernels_that_take_silent_neurons_along():
    net = network(LEAKY, a_few().encoder)
    assert_same(simulate(net, a_few(), record=RECORDS, kernels="integers"), simulate(net, a_few(), record=RECORDS))


@pytest.mark.slow
def test_tiles_of_neurons_each_with_a_rest_of_its_own():
    rests = np.random.default_rng(7).integers(-8, 8, (3, 32, 20)) / 16
    second = Heterogeneous(Lapicque(r=8.0), {"v_leak": rests, "initial": rests})
    net = Network([node if node.name != "input" else Input("input", 2) for node in network(LEAKY, None, second).nodes])
    picture = np.zeros((2, 16, 10), np.float32)
    picture[:, 3, 4] = 1
    found = simulate(net, picture, 9, record=RECORDS, tile=4)
    assert_same(found, simulate(net, picture, 9, record=RECORDS))
    assert (found.membrane["second"] == rests).mean() > 0.5


def test_a_bias_of_minus_nothing_is_a_current():
    assert bound(strong(LEAKY, bias=np.float32([-0.0])), stream([], 1, (1, 4, 4))).states[0].awake is None


# --- Who is left out -------------------------------------------------------------------------------------------------


def bound(net, *given_events, **options):
    """What a run of some events, one after the other, has left."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_run, "put_back", lambda program, found: kept.append(found))
        parts = Stream(net, **options)
        for each in given_events:
            parts.push(each)
    return kept[-1]


def awake_pixels(found, layer=0, shape=(8, 10)):
    return sorted(map(tuple, np.argwhere(found.states[layer].awake.reshape(shape)).tolist()))


AROUND = [(y, x) for y in (3, 4, 5) for x in (4, 5, 6)]


@pytest.mark.parametrize("model", [LEAKY, PER_NEURON])
def test_only_what_an_event_has_reached_is_awake(model):
    """Nine pixels under a kernel of 3x3, in the run and for those that go on from its state; nobody before."""
    net = network(model, a_few().encoder, second=FORGETFUL)
    silence, one = stream([], 1), stream([(0, 4, 5, 0)], 1)
    assert awake_pixels(bound(net, silence)) == []
    assert awake_pixels(bound(net, one)) == AROUND
    assert awake_pixels(bound(net, one, silence)) == AROUND


def test_who_is_back_at_rest_sleeps():
    """A neuron forgets, or is reset to zero; a little of 2**-125 is none two steps later."""
    net, one = network(FORGETFUL, a_few().encoder), stream([(0, 4, 5, 0)], 1)
    assert awake_pixels(bound(net, one, stream([], 1))) == []
    weak = strong(LEAKY, 2.0**-125)
    begun = stream([(0, 1, 1, 0)], 1, (1, 4, 4)), stream([], 1, (1, 4, 4)), stream([], 1, (1, 4, 4))
    found = [awake_pixels(bound(weak, *begun[:count]), 0, (4, 4)) for count in (1, 2, 3)]
    assert found == [[(1, 1)], [(1, 1)], []]


@pytest.mark.parametrize("model", [LEAKY, PER_NEURON])
def test_where_much_arrives_nobody_is_looked_for_and_all_may_be_awake(model):
    """Half of the pixels have events in the first group of steps: what all of them keep leaks on in the next ones."""
    every = [(t, y, x, 0) for t in (0, 5) for y in range(8) for x in range(10)]
    given_events = stream([*every, (18, 4, 5, 0)], 20)
    net = network(model, given_events.encoder, second=LEAKY)
    result = simulate(net, given_events, threads=1, record=RECORDS)
    assert_same(result, reference.simulate(net, dense(given_events), 20))
    assert len(awake_pixels(bound(net, stream(every, 8)))) == 80


def test_neurons_are_not_run_while_they_sleep(monkeypatch):
    """Of a registered model: the kernel leaves out all pixels but those around the event."""
    computed, original = [], Stepper.run

    def noting(self, *arguments):
        computed.append(int(np.count_nonzero(arguments[-1])))
        return original(self, *arguments)

    monkeypatch.setattr(Stepper, "run", noting)
    net = network(PER_NEURON, a_few().encoder, second=LEAKY)
    simulate(net, stream([(8, 4, 5, 0)], 9), threads=1)
    assert sum(computed) == len(AROUND)


# --- What is left out wrongly is found -------------------------------------------------------------------------------


def test_a_neuron_that_is_skipped_wrongly_is_found(monkeypatch):
    """Neurons that leak upwards are not at rest where nothing arrives."""
    monkeypatch.setattr(gather_layer, "rests_exactly", lambda model: True)
    rising = Heterogeneous(Lapicque(r=8.0, v_leak=0.5), {"tau_mem": TAUS})
    net = network(rising, a_few().encoder, second=LEAKY)
    with pytest.raises(AssertionError):
        assert_same(simulate(net, a_few(), record=RECORDS), reference.simulate(net, dense(a_few()), 9))


def test_a_state_that_is_taken_for_rest_wrongly_is_found(monkeypatch):
    """Without a look at what is handed over, a potential would not leak any more."""
    net = network(LEAKY, a_few().encoder)
    before = simulate(net, stream([(0, 4, 5, 0)], 1), record=("state",)).state
    expected = simulate(net, stream([], 1), state=before, record=("membrane",)).membrane["first"]
    assert expected.any()
    monkeypatch.setattr(layer_state, "_awake_in", lambda layer, variables: np.zeros(len(variables[0]), np.bool_))
    found = simulate(net, stream([], 1), state=before, record=("membrane",)).membrane["first"]
    assert (found[expected != 0] == 2 * expected[expected != 0]).all()
