"""Neurons that are left out where no event reaches them: which those are, that nothing changes, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from few_events import HALF, SHAPE, a_few, dense, network, stream, strong

from spikeunet.engine import (
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Network,
    NeuronError,
    PerfectIntegrateAndFire,
    Stream,
    register_neuron,
    simulate,
)
from spikeunet.engine.events import STEPS_PER_QUEUE, silent_queue
from spikeunet.engine.kernels.touched import count_updates_of_band
from spikeunet.engine.simulation.bands import phases
from spikeunet.engine.testing import neuron_checks, reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_operations


@pytest.mark.parametrize("model", [HALF, PerfectIntegrateAndFire(threshold=0.5)])
def test_nothing_changes_but_the_count_of_updates(model):
    events = a_few()
    net = network(model, events.encoder)
    expected = reference.simulate(net, dense(events), events.steps)
    updates = {name: layer.neuron_updates for name, layer in expected.operations.neurons.items()}
    assert 0 < updates["first"] < 4 * 5 * 9 * 3
    assert updates["second"] < expected.operations.neurons["second"].neuron_steps // 4
    whole = simulate(net, events, record=RECORDS)
    assert_same(whole, expected)
    assert_same(simulate(net, events, record=RECORDS, order="time", threads=2), expected)
    batch = simulate(net, [events, events])
    assert batch.operations.totals["neuron_updates"] == 2 * whole.operations.totals["neuron_updates"]


@pytest.mark.slow
def test_products_that_take_silent_neurons_along_count_the_same():
    events = a_few()
    net = network(encoder=events.encoder)
    assert_same(simulate(net, events, record=RECORDS, kernels="integers"), simulate(net, events, record=RECORDS))


@pytest.mark.parametrize(
    ("cut", "model"), [(8, HALF), pytest.param(1, PerfectIntegrateAndFire(threshold=0.5), marks=pytest.mark.slow)]
)
def test_runs_that_go_on(model, cut):
    """What is at rest is found in what another run has left, and what is not fires without an event."""
    events = a_few()
    net = network(model, events.encoder)
    whole = simulate(net, events, record=("membrane",))
    steps = Stream(net)
    parts = [steps.push(events[first : first + cut]) for first in range(0, events.steps, cut)]
    for name, layer in whole.operations.neurons.items():
        for count in ("updates", "events"):
            found = np.concatenate([getattr(part.operations.neurons[name], count) for part in parts])
            np.testing.assert_array_equal(found, getattr(layer, count))
        np.testing.assert_array_equal(steps.state.neurons[name][0], whole.membrane[name])


def test_the_updates_of_one_event_by_hand():
    """A kernel of 3x3 reaches nine pixels of four neurons each at the step of the event; in a corner four pixels."""
    net = network(IntegrateAndFire(100.0))
    updates = simulate(net, stream([(2, 4, 5, 0), (5, 0, 0, 1)])).operations.neurons
    assert updates["first"].updates.tolist() == [0, 0, 36, 0, 0, 16, *[0] * 3]
    assert updates["first"].potential_reads == 52
    assert updates["second"].neuron_updates == 0
    assert updates["first"].neuron_steps == 9 * 4 * 80


@pytest.mark.parametrize("model", [IntegrateAndFire(), PerfectIntegrateAndFire()])
def test_what_is_left_above_the_threshold_fires_without_an_event(model):
    """One event of 4.5 fires until it is below, beyond the end of a group of eight, too."""
    events = stream([(6, 1, 1, 0)], 9, (1, 4, 4))
    found = simulate(strong(model, 4.5), events, record=("spikes",))
    fired = found.spikes["first"][:, 0, 1, 1]
    assert fired.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert found.operations.neurons["first"].updates.tolist() == fired.astype(int).tolist()


@pytest.mark.parametrize("model", [IntegrateAndFire(initial=2.5), PerfectIntegrateAndFire(initial=2.5)])
def test_what_begins_above_the_threshold_fires_without_an_event(model):
    found = simulate(strong(model), stream([], 9, (1, 4, 4)), record=("membrane",))
    assert found.operations.neurons["first"].updates.tolist() == [16, 16, *[0] * 7]
    assert (found.membrane["first"] == 0.5).all()


def test_a_potential_that_is_rounded_up_to_the_threshold_fires_without_an_event():
    """The step does not fire, in float64, but what float32 keeps of the potential reaches the threshold."""
    model = PerfectIntegrateAndFire(initial=0.5)
    net = strong(model, 0.5 - 2.0**-25)
    events = stream([(STEPS_PER_QUEUE - 1, 2, 2, 0)], STEPS_PER_QUEUE + 1, (1, 4, 4))
    found = simulate(net, events, record=("spikes",)).spikes["first"]
    assert found[:, 0, 2, 2].tolist() == [0] * STEPS_PER_QUEUE + [1]


def test_a_zero_of_the_other_sign_changes_without_an_event():
    found = simulate(strong(IntegrateAndFire(initial=-0.0)), stream([], 1, (1, 4, 4)), record=("membrane",))
    assert not np.signbit(found.membrane["first"]).any()


@pytest.mark.parametrize(
    ("model", "bias"),
    [(LeakyIntegrateAndFire(0.5, decay=0.5), None), (IntegrateAndFire(0.5), np.full(4, 1 / 16, np.float32))],
)
def test_neurons_that_leak_or_have_a_bias_are_all_updated(model, bias):
    events = a_few()
    net = network(model, events.encoder, LeakyIntegrateAndFire(0.5, decay=0.5), bias)
    found = simulate(net, events)
    assert_same_operations(found.operations, reference.simulate(net, dense(events), events.steps).operations)
    for layer in found.operations.neurons.values():
        assert layer.neuron_updates == layer.neuron_steps


def test_sparsity_is_of_all_neurons_and_steps():
    totals = simulate(network(), a_few()).operations.totals
    every = 9 * (4 * 80 + 3 * 320)
    assert totals["neuron_updates"] < every // 4
    assert totals["activation_sparsity"] == 1 - totals["events"] / every


def test_tiles_leave_out_the_same():
    nodes = [node if node.name != "input" else Input("input", 2) for node in network(IntegrateAndFire(1.0)).nodes]
    picture = np.zeros((2, 16, 10), np.float32)
    picture[:, 3, 4] = 1
    whole = simulate(Network(nodes), picture, 9)
    assert whole.operations.neurons["second"].neuron_updates < whole.operations.neurons["second"].neuron_steps // 4
    assert_same_operations(simulate(Network(nodes), picture, 9, tile=4).operations, whole.operations)


def test_pixels_that_are_computed(monkeypatch):
    """One span of one pixel in the row of the event, none in the others; at rest again, none at all."""
    seen = []

    def noting(band, bands, steps, fired, touched, *arguments):
        assert touched.line
        by_row = touched.spans.reshape(-1, touched.line)
        seen.append([spans[: 1 + 2 * spans[0]].tolist() for spans in by_row])
        return count_updates_of_band(band, bands, steps, fired, touched, *arguments)

    monkeypatch.setattr(phases, "count_updates_of_band", noting)
    simulate(strong(PerfectIntegrateAndFire()), stream([(8, 1, 2, 0)], 10, (1, 4, 4)), order="time", threads=1)
    nothing = [[0]] * 4
    assert seen == [*[nothing] * 8, [[0], [1, 2, 3], [0], [0]], [[0], [1, 2, 3], [0], [0]]]


@register_neuron("test-event-driven/leaky", compile_now=False)
@dataclass(frozen=True)
class ClaimsTooMuch:
    initial: float = 0.0

    event_driven = True

    def state(self):
        return {"v": self.initial}

    def levels(self):
        return 0.0, 1.0

    @staticmethod
    def step(current, v):
        v = 0.5 * v + current
        return (1, v - 1) if v >= 1 else (0, v)


def test_a_model_that_claims_too_much_is_found():
    with pytest.raises(AssertionError, match="changes without input, and so is not event-driven"):
        neuron_checks.needs_no_update(ClaimsTooMuch(), neuron_checks.default_currents())
    neuron_checks.needs_no_update(PerfectIntegrateAndFire(), neuron_checks.default_currents())
    neuron_checks.needs_no_update(IntegrateAndFire(), neuron_checks.default_currents())


def test_a_step_that_is_told_its_index_cannot_be_event_driven():
    @dataclass(frozen=True)
    class Clock:
        initial: float = 0.0
        event_driven = True

        def state(self):
            return {"v": self.initial}

        def levels(self):
            return 0.0, 1.0

        @staticmethod
        def step(current, v, step_index):
            return step_index % 2, v + current

    with pytest.raises(NeuronError, match=r"Clock\.event_driven: must be False, for the step takes 'step_index'"):
        register_neuron("test-event-driven/clock")(Clock)


def test_an_empty_queue_touches_nothing():
    queue = silent_queue(SHAPE, 4)
    found = simulate(network(), [queue])
    assert found.operations.totals["neuron_updates"] == 0
    assert not found.output.any()
