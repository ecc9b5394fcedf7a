"""Every way in which the engine can run a layer gives the same bits, on weights whose sums are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import (
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding import build_program, plan
from spikeunet.engine.binding import layer as bound_layer
from spikeunet.engine.kernels import firing, window_block
from spikeunet.engine.kernels.entries import CHUNK, host_compresses, host_packs, orders_of_lanes
from spikeunet.engine.simulation.bands import band_rows, layer_run, phases
from spikeunet.engine.simulation.currents import sources as event_sources
from spikeunet.engine.simulation.memory import queue_memory
from spikeunet.engine.testing.comparison import (
    RECORDS,
    assert_same,
    assert_same_array,
    assert_same_arrays,
    assert_same_operations,
)

pytestmark = pytest.mark.timeout(900)  # kernels are compiled


def network():
    """Windows of three pixels and of two, a transposed convolution, a stride, two sources, blocks that are not full."""
    generator = np.random.default_rng(3)
    neurons = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)

    def weight(*shape):
        return (generator.standard_normal(shape) * 0.3).astype(np.float32)

    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(40, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", weight(70, 40, 3, 3), stride=2, padding=1),
            Neurons("relu2", "conv2", neurons),
            ConvTranspose2d("up", "relu2", weight(70, 20, 2, 2), stride=2),
            Neurons("relu3", "up", neurons),
            Conv2d("narrow", "relu1", weight(20, 40, 2, 2), padding=1),
            Neurons("relu4", "narrow", neurons),
            Conv2d("cut", "relu4", weight(20, 20, 2, 2)),
            Neurons("relu5", "cut", neurons),
            Concat("concat", ("relu3", "relu5")),
            Conv2d("readout", "concat", weight(3, 40, 3, 3), padding=1),
            Output("output", "readout"),
        ]
    )


@pytest.fixture(scope="module")
def picture():
    """(C, H, W), about a third of the first neurons fire."""
    return np.random.default_rng(4).random((2, 12, 14), np.float32)


@pytest.mark.parametrize(
    ("accumulators", "steps"),
    [(3, 1), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(1, 2), (3, 4)])],
)
def test_windows_and_vectors(accumulators, steps, picture, monkeypatch):
    """Fewer registers: a window of one pixel, blocks of fewer vectors."""
    if steps == accumulators and window_block.host_accumulators() < 2 * steps:
        pytest.skip("with this processor's registers blocks are one vector of one pixel already")
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    program = build_program(network(), picture.shape)
    tokens = [layer.token(steps) for layer in program.layers]
    monkeypatch.setattr(window_block, "host_accumulators", lambda: accumulators)
    assert [layer.token(steps) for layer in program.layers] != tokens
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_compaction_without_compressed_stores(steps, picture, monkeypatch):
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    monkeypatch.setattr(phases, "compress_token", lambda *_: None)
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


@pytest.mark.skipif(not host_packs(), reason="this processor cannot put lanes in any order")
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.all_step_groups
def test_compaction_by_orders_of_lanes(steps, picture, monkeypatch):
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    monkeypatch.setattr(phases, "compress_token", lambda *_: orders_of_lanes())
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


def test_orders_of_lanes():
    for byte, order in enumerate(orders_of_lanes().reshape(256, 8).tolist()):
        there = [lane for lane in range(8) if byte >> lane & 1]
        assert order[: len(there)] == there
        assert sorted(order) == list(range(8))


@pytest.mark.skipif(not host_compresses(), reason="this processor cannot compress vectors")
@pytest.mark.parametrize(("steps", "lanes"), [(1, 16), (2, 8), (2, 16), (4, 8)])
@pytest.mark.all_step_groups  # eight lanes of words of a single step are none that a processor compresses
def test_compaction_with_other_vectors(steps, lanes, picture, monkeypatch):
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    monkeypatch.setattr(phases, "compress_token", lambda *_: (0,) * lanes)
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


def test_vectors_of_compaction():
    """Whole vectors of the wider of words and channel numbers, and never more channels than are there."""
    if not host_compresses():
        assert (phases.compress_token(32, 32, 1) is None) != host_packs()
        assert phases.compress_token(32, 32, 8) is None
        return
    lanes = [len(phases.compress_token(*case)) for case in ((64, 40, 1), (64, 40, 4), (64, 40, 8), (16, 3, 1))]
    assert lanes == [32, 16, 8, 16]
    assert len(phases.compress_token(1 << 17, 1 << 17, 1)) == 16


@pytest.mark.parametrize("chunks", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 8])
def test_chunks_that_are_unpacked_of_every_pixel(chunks, steps, picture, monkeypatch):
    """Pixels have more entries than one chunk holds, and fewer than four do."""
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    active = (expected.spikes["relu1"] != 0).any(axis=0).sum(axis=0)
    assert CHUNK < active.max() < 4 * CHUNK
    monkeypatch.setattr(event_sources, "chunks_of", lambda *_: chunks)
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


def test_bands_of_one_row(picture, monkeypatch):
    expected = simulate(network(), picture, 2, threads=1, record=RECORDS)
    monkeypatch.setattr(band_rows, "_BAND_BYTES", 1)
    monkeypatch.setattr(band_rows, "_MANY_WEIGHTS", 1)
    assert_same(simulate(network(), picture, 2, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("size", [1.0, 4e6, 1e12, -4e6, 3e37, -3e37, 1e-39])
def test_closed_form_of_a_ladder(size, picture, monkeypatch):
    """Also where potentials are so large that taking a threshold away rounds: there, no closed form is used."""
    expected = simulate(network(), size * picture, 2, threads=1, record=RECORDS)
    assert build(picture).layers[0].neuron[2] == 0.25
    monkeypatch.setattr(firing, "_quantum", lambda *_: 0.0)
    assert build(picture).layers[0].neuron[2] == 0
    assert_same(simulate(network(), size * picture, 2, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize(
    ("model", "quantum"),
    [
        (MultiThreshold((1.0, 0.5)), 0.5),
        (MultiThreshold((4.0, 2.0)), 0.0),
        (MultiThreshold((1.0, 0.25)), 0.0),
        (MultiThreshold((0.6, 0.3)), 0.0),
        (IntegrateAndFire(1.0, strict=True), 1.0),
        (IntegrateAndFire(1.0), 0.0),
        (IntegrateAndFire(1.0, strict=True, reset="zero"), 0.0),
        (LeakyIntegrateAndFire(1.0, decay=0.5, strict=True), 0.0),
    ],
)
def test_what_has_a_closed_form(model, quantum):
    """Powers of two, 1 or less, each twice the next; nothing leaks, and what is fired is taken away."""
    constants = model.firing_constants()
    found = firing.neuron_array(constants.decay, constants.keep, constants.compare, constants.subtract)
    assert found[2] == quantum


@pytest.mark.parametrize("steps", [1, 2])
def test_values_from_the_table(steps, picture, monkeypatch):
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    assert build(picture).layers[-1].sources[0].scale == 0.25 / 32
    monkeypatch.setattr(bound_layer.Source, "scale", np.float32(0))
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_bands_one_by_one(steps, threads, picture, monkeypatch):
    """Not all phases in one kernel, and no room for the events of all neurons."""
    monkeypatch.setattr(layer_run, "THREADED_WORK", 0)
    expected = simulate(network(), picture, steps, threads=threads, record=RECORDS)
    monkeypatch.setattr(queue_memory, "MOST_BYTES", 0)
    assert_same(simulate(network(), picture, steps, threads=threads, record=RECORDS), expected)


def test_picture_fires_at_once(picture):
    """At the only step, the first layer fires on the picture's current, which is kept for the others."""
    found, kept = (simulate(network(), picture, 1, record=kinds) for kinds in (("spikes",), ("spikes", "membrane")))
    assert_same_arrays(found.spikes, kept.spikes, "spikes")
    assert_same_array(found.output, kept.output, "output")
    assert_same_operations(found.operations, kept.operations)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"), [(3, 2, 1, 1), (4, 2, 1, 0), (2, 3, 0, 1), (5, 2, 2, 0), (3, 3, 1, 2)]
)
@pytest.mark.parametrize("accumulators", [24, 1])
def test_joined_phases_of_transposed_convolutions(kernel, stride, padding, more, accumulators, picture, monkeypatch):
    def upwards():
        generator = np.random.default_rng(kernel)
        neurons = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)
        shapes = (9, 2, 1, 1), (9, 20, kernel, kernel), (1, 20, 1, 1)
        weights = [generator.standard_normal(shape).astype(np.float32) for shape in shapes]
        up = ConvTranspose2d("up", "relu1", weights[1], stride=stride, padding=padding, output_padding=more)
        nodes = [Input("input", 2), Conv2d("conv1", "input", weights[0]), Neurons("relu1", "conv1", neurons), up]
        nodes += [Neurons("relu2", "up", neurons), Conv2d("conv2", "relu2", weights[2]), Output("output", "conv2")]
        return Network(nodes)

    monkeypatch.setattr(window_block, "host_accumulators", lambda: accumulators)
    joined = simulate(upwards(), picture, 1, threads=1, record=RECORDS)
    assert joined.total_events
    tables = build_program(upwards(), picture.shape).layers[1].plan.tables.phases
    monkeypatch.setattr(plan, "_joined", lambda columns: columns)
    apart = build_program(upwards(), picture.shape).layers[1].plan.tables.phases
    assert len(apart) == stride * len(tables)
    assert_same(simulate(upwards(), picture, 1, threads=1, record=RECORDS), joined)


def build(picture):
    """The program of a new network."""
    return build_program(network(), picture.shape)
