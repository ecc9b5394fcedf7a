"""Networks in which something comes back through a delay: the loops go step by step, all the rest layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import (
    Add,
    Conv2d,
    Input,
    IntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding import build_program
from spikeunet.engine.events import joined_steps, one_step_later, queue_of_steps
from spikeunet.engine.simulation import picture_run
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

LADDER = MultiThreshold((1.0, 0.5, 0.25))
GENERATOR = np.random.default_rng(3)
PICTURE = (GENERATOR.integers(0, 9, (1, 6, 5)) / 8).astype(np.float32)


def convolution(name, source, inputs=2, outputs=2, delay=0):
    weight = (GENERATOR.integers(-6, 11, (outputs, inputs, 3, 3)) / 16).astype(np.float32)
    return Conv2d(name, source, weight, padding=1, delay=delay)


def network():
    """A front, a branch beside the loop, a loop of two layers, and what reads them, one of it through a delay."""
    return Network(
        [
            Input("input", 1),
            convolution("c_front", "input", 1),
            Neurons("front", "c_front", LADDER),
            convolution("c_beside", "front"),
            Neurons("beside", "c_beside", IntegrateAndFire(0.5)),
            convolution("c_forth", "front"),
            convolution("c_back", "second", delay=1),
            Add("added", ("c_forth", "c_back")),
            Neurons("first", "added", LADDER),
            convolution("c_on", "first"),
            Neurons("second", "c_on", IntegrateAndFire(0.5)),
            convolution("c_late", "front", delay=1),
            convolution("c_join", "second"),
            convolution("c_other", "beside"),
            Add("joined", ("c_late", "c_join", "c_other")),
            Neurons("behind", "joined", LADDER),
            convolution("c_out", "behind", outputs=1),
            Output("output", "c_out"),
        ]
    )


@pytest.fixture
def runs(monkeypatch):
    """By layer, over how many steps each call has run it."""
    found = {}

    class Noted(picture_run.LayerRun):
        def run(self, *arguments):
            found.setdefault(self.layer.name, []).append(self.steps)
            return super().run(*arguments)

    monkeypatch.setattr(picture_run, "LayerRun", Noted)
    return found


def test_layers_of_a_loop_are_neighbours():
    program = build_program(network(), PICTURE.shape)
    names = [layer.name for layer in program.layers]
    assert [names[first:last] for first, last in program.loops] == [["first", "second"]]
    assert names == ["front", "beside", "first", "second", "behind", "output"]


def test_the_order_of_a_network_without_loops_stays():
    kept = ("input", "c_front", "front", "c_beside", "beside")
    chain = [node for node in network().nodes if node.name in kept]
    program = build_program(Network([*chain, convolution("out", "beside"), Output("output", "out")]), PICTURE.shape)
    assert (program.loops, [layer.name for layer in program.layers]) == ((), ["front", "beside", "output"])


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        (1, {}),
        (1, {"order": "time"}),
        (1, {"threads": 2, "kernels": "events"}),
        (3, {"order": "time"}),
        pytest.param(19, {"threads": 2, "kernels": "events"}, marks=pytest.mark.slow),
    ],
)
def test_same_as_the_reference(steps, options):
    looped = network()
    found = simulate(looped, PICTURE, steps, record=RECORDS, **options)
    assert_same(found, reference.simulate(looped, PICTURE, steps))


def test_only_the_loop_goes_step_by_step(runs):
    simulate(network(), PICTURE, 2)
    assert runs["first"] == runs["second"] == [1, 1]
    assert runs["behind"] == [2]


def test_a_layer_that_feeds_itself():
    nodes = [
        Input("input", 1),
        convolution("c_in", "input", 1),
        convolution("c_back", "neurons", delay=1),
        Add("added", ("c_in", "c_back")),
        Neurons("neurons", "added", LADDER),
        convolution("c_out", "neurons", outputs=1),
        Output("output", "c_out"),
    ]
    looped = Network(nodes)
    assert build_program(looped, PICTURE.shape).loops == ((0, 1),)
    assert_same(simulate(looped, PICTURE, 3, record=RECORDS), reference.simulate(looped, PICTURE, 3))


@pytest.mark.parametrize("first", [1, 2])
def test_a_run_goes_on_in_the_middle_of_a_loop(first):
    looped, record = network(), (*RECORDS, "state")
    whole = simulate(looped, PICTURE, 3, record=record)
    begun = simulate(looped, PICTURE, first, record=record)
    ended = simulate(looped, PICTURE, 3 - first, record=record, state=begun.state)
    for name, spikes in whole.spikes.items():
        np.testing.assert_array_equal(np.concatenate([begun.spikes[name], ended.spikes[name]]), spikes)
    np.testing.assert_array_equal(ended.output, whole.output)
    for name, node in whole.operations.synapses.items():
        parts = (result.operations.synapses[name].sources for result in (begun, ended))
        counts = [{source: int(events.synops.sum()) for source, events in part.items()} for part in parts]
        for source, events in node.sources.items():
            assert counts[0][source] + counts[1][source] == events.synops.sum()


def test_queues_are_cut_and_joined():
    levels = GENERATOR.integers(0, 4, (5, 3, 4, 2)).astype(np.uint8)
    queue = queue_of_steps(levels)
    steps = [queue.at(step) for step in range(5)]
    for step, one in enumerate(steps):
        np.testing.assert_array_equal(one.dense_levels()[0], levels[step])
    np.testing.assert_array_equal(joined_steps(steps).dense_levels(), levels)
    late = one_step_later(steps[4], queue).dense_levels()
    np.testing.assert_array_equal(late, levels[[4, 0, 1, 2, 3]])
    nothing = queue_of_steps(levels * 0)
    assert joined_steps([nothing.at(0), nothing.at(1)]).active == 0
