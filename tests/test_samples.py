"""Networks of full connections, with all samples side by side: the bits, counts and recordings of the other runs."""

from __future__ import annotations

import gc
import pickle
import weakref

import numpy as np
import pytest

from spikeunet.engine import (
    Add,
    Conv2d,
    CurrentBasedLeakyIntegrateAndFire,
    EscapeNoiseLeakyIntegrateAndFire,
    Events,
    EventStream,
    Heterogeneous,
    Input,
    InputError,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding import build_program
from spikeunet.engine.kernels.byte_rows import vectors_at_once
from spikeunet.engine.kernels.dot import dot_token, host_dots
from spikeunet.engine.kernels.quad_tables import TABLE_SIZE
from spikeunet.engine.kernels.samples import ROWS_AT_ONCE, add_products_of_rows, walk_rows_of_integers
from spikeunet.engine.samples import plan as plans
from spikeunet.engine.samples import run as sample_run
from spikeunet.engine.samples.plan import sample_plan
from spikeunet.engine.samples.run import SampleRun

RECORD = ("spikes", "spike_count", "membrane", "readout")
NEURONS = CurrentBasedLeakyIntegrateAndFire(0.002, 0.004, 2.0, 4.0, dt=0.001, integration="euler", late_reset=True)
EVERY_KERNEL = ("events", "portable")
"""Not "auto", but the same results: layers are run from event to event, picture by picture."""


PRODUCTS = "vnni" if "vnni" in host_dots() else "tables"


def weights(rows: int, columns: int, dyadic: bool, seed: int) -> np.ndarray:
    """Some of them zero, of either sign."""
    values = np.random.default_rng(seed).normal(0.02, 0.2, (rows, columns)).astype(np.float32)
    values[np.abs(values) < 0.05] *= 0
    return np.round(values * 64) / 64 if dyadic else values


def feed_forward(dyadic: bool, inputs: int = 35) -> Network:
    """Two populations of sizes that fill no vector, and a bias."""
    return Network(
        [
            Input("input", inputs, Events()),
            Linear("in", "input", weights(21, inputs, dyadic, 0), np.full(21, 0.125, np.float32)),
            Neurons("first", "in", NEURONS),
            Linear("on", "first", weights(40, 21, dyadic, 1)),
            Neurons("second", "on", NEURONS),
            Linear("last", "second", weights(3, 40, dyadic, 2)),
            Output("output", "last"),
        ]
    )


def recurrent(dyadic: bool) -> Network:
    """A population that hears itself, a readout of it through a delay, and another one without."""
    back = Linear("back", "hidden", weights(21, 21, dyadic, 3), np.full(21, -0.0625, np.float32), delay=1)
    late = Linear("late", "hidden", weights(3, 21, dyadic, 4), delay=1)
    return Network(
        [
            Input("input", 35, Events()),
            Linear("in", "input", weights(21, 35, dyadic, 5)),
            back,
            Add("sum", ("back", "in")),
            Neurons("hidden", "sum", NEURONS),
            late,
            Linear("now", "hidden", weights(3, 21, dyadic, 6)),
            Add("both", ("late", "now")),
            Output("output", "both"),
        ]
    )


def spikes(pictures: int, share: float, steps: int = 40, pixels: tuple[int, int] = (1, 1)) -> np.ndarray:
    """(T, N, 35, H, W) of zeros and ones."""
    generator = np.random.default_rng(7)
    return (generator.random((steps, pictures, 35, *pixels)) < share).astype(np.float32)


def check_equal(found, expected) -> None:
    """All that comes of two runs."""
    assert np.array_equal(found.output, expected.output)
    assert found.steps == expected.steps
    assert found.operations.to_json() == expected.operations.to_json()
    for kind in RECORD:
        ours, theirs = found.recorded[kind], expected.recorded[kind]
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), (kind, name)
            assert np.array_equal(ours[name], array), (kind, name)


def is_run_so(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often samples are run side by side from now on."""
    calls = []
    run = SampleRun.run
    monkeypatch.setattr(SampleRun, "run", lambda self, *rest: calls.append(1) or run(self, *rest))
    return calls


@pytest.mark.parametrize("dyadic", [False, True])
@pytest.mark.parametrize("network", [feed_forward, recurrent])
def test_a_batch_side_by_side_is_what_its_pictures_are(network, dyadic, monkeypatch):
    made, given = network(dyadic), spikes(5, 0.2)
    calls = is_run_so(monkeypatch)
    found = simulate(made, given, time_axis=0, record=RECORD)
    assert calls
    expected = simulate(made, given, time_axis=0, record=RECORD, kernels=EVERY_KERNEL)
    assert len(calls) == 1
    check_equal(found, expected)
    assert found.spikes["input"].any()
    assert 0 < found.density < 1
    used = {name for names in found.kernels.values() for name in names}
    assert used & {"event-integers", PRODUCTS} if dyadic else used == {"events"}


def test_what_comes_back_is_multiplied_where_many_fire_and_walked_where_few_do(monkeypatch):
    made, given, kind = recurrent(True), spikes(5, 0.2), PRODUCTS
    given[20:] = 0
    monkeypatch.setitem(plans.SHARES_OF_RETURNING, kind, 0.03)
    found = simulate(made, given, time_axis=0, record=RECORD)
    assert set(found.kernels["hidden"]) >= {kind, "event-integers"}
    check_equal(found, simulate(made, given, time_axis=0, record=RECORD, kernels=EVERY_KERNEL))
    for share in (0.0, 2.0):  # always, and never
        monkeypatch.setitem(plans.SHARES_OF_RETURNING, kind, share)
        check_equal(simulate(made, given, time_axis=0, record=RECORD), found)


@pytest.mark.parametrize("share", [0.0, 2.0], ids=["products of all bytes", "from event to event"])
@pytest.mark.parametrize("inputs", [35, 1024], ids=["few inputs", "more than lanes of 16 bits add up"])
def test_sums_of_the_largest_weights_are_exact(inputs, share, monkeypatch):
    """Weights of one sign at the limits of a byte, all of them met at once."""
    monkeypatch.setattr(plans, "_SHARES_THAT_PAY", dict.fromkeys(plans._SHARES_THAT_PAY, share))
    levels = np.random.default_rng(0).choice(np.float32([-128, 127]), 160)
    hidden = np.full((160, inputs), 1.0, np.float32) * levels[:, None]
    last = np.full((3, 160), 1.0, np.float32)
    made = layers_of(
        Linear("in", "input", hidden),
        Neurons("first", "in", NEURONS),
        Linear("last", "first", last),
        inputs=Input("input", inputs, Events()),
    )
    given = np.ones((4, 3, inputs, 1, 1), np.float32)
    given[1, 1, ::3] = 0
    found = simulate(made, given, time_axis=0, record=RECORD)
    assert found.kernels["first"] == ("event-integers" if share else PRODUCTS,)
    check_equal(found, simulate(made, given, time_axis=0, record=RECORD, kernels=EVERY_KERNEL))


@pytest.mark.parametrize("kind", ["tables", *host_dots()[-2:]])
@pytest.mark.parametrize(("inputs", "vectors"), [(64, 1), (640, 2)])
def test_products_of_rows(kind, inputs, vectors):
    """Rows that fill no block, from the second one on; currents that are added to what is there."""
    generator, outputs = np.random.default_rng(2), 32 * vectors
    codes = generator.integers(-128, 128, (inputs, outputs), np.int8)
    if kind == "tables":
        scratch = np.ones(11 * inputs // 4, np.uint8), np.ones(TABLE_SIZE, np.int16), np.ones(11 * 32, np.int32)
        products = (0,) * vectors, codes.reshape(-1), scratch
    else:
        packed = codes.reshape(inputs // 64, 16, 4, 2, vectors, 16).transpose(3, 0, 4, 1, 5, 2)
        products = dot_token(kind, vectors), packed.reshape(-1).copy()
    rows = (generator.random((12 + ROWS_AT_ONCE, inputs)) < 0.5).astype(np.uint8)
    scale, bias = (generator.integers(1, 9, (2, outputs)) / 8).astype(np.float32)
    expected = bias + (rows[1:12].astype(np.float32) @ codes.astype(np.float32)) * scale
    for adds in (False, True):
        currents = np.ones((11, outputs), np.float32)
        add_products_of_rows(products, (rows.reshape(-1), rows.view(np.uint64)), 1, (scale, bias), adds, currents)
        assert np.array_equal(currents, expected + adds)


@pytest.mark.parametrize(("inputs", "outputs"), [(64, 48), (640, 128)])
def test_walks_of_rows(inputs, outputs):
    """The same from event to event; more events than 16 bits add up."""
    generator = np.random.default_rng(2)
    codes = generator.choice(np.int8([-128, 127]), outputs)[None].repeat(inputs, 0)
    rows = (generator.random((12, inputs)) < 0.9).astype(np.uint8)
    scale, bias = (generator.integers(1, 9, (2, outputs)) / 8).astype(np.float32)
    expected = bias + (rows[1:].astype(np.float32) @ codes.astype(np.float32)) * scale
    scratch = np.ones(inputs + 1, np.int32), np.ones(outputs, np.int32), vectors_at_once(outputs)
    for adds in (False, True):
        currents = np.ones((11, outputs), np.float32)
        walk_rows_of_integers(rows.view(np.uint64), 1, codes, scale, bias, adds, scratch, currents)
        assert np.array_equal(currents, expected + adds)


def test_steps_are_run_in_pieces_of_one_length(monkeypatch):
    pieces = []
    run = SampleRun._run_steps
    note = lambda self, *rest: pieces.append(rest[-1].stop - rest[-1].start) or run(self, *rest)  # noqa: E731
    monkeypatch.setattr(SampleRun, "_run_steps", note)
    monkeypatch.setattr(sample_run, "_CHUNK_BYTES", 64 * 4 * 5 * 8)
    simulate(feed_forward(False), spikes(5, 0.1, steps=25), time_axis=0, threads=1)
    assert pieces == [9, 9, 7]  # and not 8, 8, 8, 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_chunks_change_nothing(threads, monkeypatch):
    made, given = recurrent(False), spikes(11, 0.1)
    expected = simulate(made, given, time_axis=0, record=RECORD)
    for name, value in (("_CHUNK_BYTES", 32 * 4 * 9 * 2), ("_FEWEST_STEPS", 9), ("_WORK_OF_A_THREAD", 0)):
        monkeypatch.setattr(sample_run, name, value)
    check_equal(simulate(made, given, time_axis=0, record=RECORD, threads=threads), expected)


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_currents_of_some_steps_at_a_time_are_those_of_all(at_once, monkeypatch):
    made, given = feed_forward(True), spikes(11, 0.5, steps=10)
    expected = simulate(made, given, time_axis=0, record=RECORD, kernels=EVERY_KERNEL)
    monkeypatch.setattr(sample_run, "_AT_ONCE_BYTES", at_once * 11 * 32 * 4)
    found = simulate(made, given, time_axis=0, record=RECORD)
    assert found.kernels["first"] == (PRODUCTS,)
    check_equal(found, expected)


def test_all_ways_to_give_spikes_are_the_same():
    made, given = feed_forward(False), spikes(3, 0.2)
    expected = simulate(made, given, time_axis=0, record=RECORD)
    for array in (given.astype(bool), given.astype(np.uint8), given.astype(np.int32), np.asfortranarray(given)):
        check_equal(simulate(made, array, time_axis=0, record=RECORD), expected)
    check_equal(simulate(made, np.moveaxis(given, 0, 1), time_axis=1, record=RECORD), expected)
    check_equal(simulate(made, {"input": given}, time_axis=0, record=RECORD), expected)
    streams = [stream_of(given[:, k]) for k in range(3)]
    check_equal(simulate(made, streams, record=RECORD), expected)
    check_equal(simulate(made, streams, record=RECORD, kernels=EVERY_KERNEL), expected)
    alone = simulate(made, given[:, 0], time_axis=0, record=RECORD)
    assert np.array_equal(alone.output, expected.output[0])
    check_equal(simulate(made, streams[0], record=RECORD), alone)


def stream_of(levels: np.ndarray) -> EventStream:
    """The events of a picture, (T, C, H, W)."""
    by_site = levels.transpose(0, 2, 3, 1).reshape(len(levels), -1)
    steps, sites = np.nonzero(by_site)
    first = np.concatenate([[0], np.cumsum(np.bincount(steps, minlength=len(levels)))]).astype(np.int64)
    sites = sites.astype(np.int64)
    return EventStream(levels.shape[1:], len(levels), Events(), first, sites, np.ones(len(sites), np.uint8))


def test_pixels_of_pictures_are_samples(monkeypatch):
    hidden, last = weights(21, 35, False, 0)[..., None, None], weights(3, 21, False, 1)[..., None, None]
    nodes = [Conv2d("in", "input", hidden), Neurons("first", "in", NEURONS), Conv2d("last", "first", last)]
    made = Network([Input("input", 35, Events()), *nodes, Output("output", "last")])
    given = spikes(2, 0.2, pixels=(3, 5))
    calls = is_run_so(monkeypatch)
    found = simulate(made, given, time_axis=0, record=RECORD)
    assert calls
    check_equal(found, simulate(made, given, time_axis=0, record=RECORD, kernels=EVERY_KERNEL))
    check_equal(simulate(made, [stream_of(given[:, k]) for k in range(2)], record=RECORD), found)


def layers_of(*nodes, inputs: Input | None = None) -> Network:
    """A network of an Input and these nodes."""
    return Network([inputs or Input("input", 35, Events()), *nodes, Output("output", nodes[-1].name)])


def test_what_is_no_full_connection_is_run_as_pictures_are():
    linear = Linear("in", "input", weights(21, 35, False, 0))
    tiny = Linear("in", "input", weights(21, 35, False, 0) * np.float32(1e-35))
    wide = Conv2d("in", "input", np.ones((2, 35, 3, 3), np.float32), padding=1)
    strided = Conv2d("in", "input", np.ones((2, 35, 1, 1), np.float32), stride=2)
    on = Linear("on", "first", weights(3, 21, False, 1))
    networks = [
        layers_of(linear, inputs=Input("input", 35)),
        layers_of(linear, inputs=Input("input", 35, Events(most=2))),
        layers_of(tiny),
        layers_of(wide),
        layers_of(strided),
        layers_of(linear, Neurons("first", "in", MultiThreshold.rounding()), on),
        layers_of(linear, Neurons("first", "in", EscapeNoiseLeakyIntegrateAndFire()), on),
        layers_of(linear, Neurons("first", "in", Heterogeneous(NEURONS, {"tau_mem": np.full(21, 0.004)})), on),
    ]
    assert sample_plan(build_program(layers_of(linear, Neurons("first", "in", NEURONS), on), (35, 1, 1))) is not None
    for network in networks:
        assert sample_plan(build_program(network, (35, 1, 1))) is None


def test_a_loop_over_two_populations_is_run_as_pictures_are():
    first, second = weights(21, 35, False, 0), weights(21, 21, False, 1)
    back = Linear("back", "other", second, delay=1)
    nodes = [Linear("in", "input", first), back, Add("sum", ("in", "back")), Neurons("one", "sum", NEURONS)]
    network = layers_of(
        *nodes, Linear("on", "one", second), Neurons("other", "on", NEURONS), Linear("out", "other", second)
    )
    assert sample_plan(build_program(network, (35, 1, 1))) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * 0.5, "counts of spikes, whole numbers from 0 to 1 .*got 0.5"),
        (lambda x: x * 2, "whole numbers from 0 to 1 .*got 2"),
        (lambda x: -x, "got -1"),
        (lambda x: x * np.nan, "got nan"),
        (lambda x: x[:, :, :30], "must have 35 channels"),
        (lambda x: x[0, 0], r"must be counts of spikes of the shape \(T, C, H, W\)"),
    ],
)
def test_arrays_that_are_no_spikes_are_refused(change, words):
    given = spikes(2, 0.5, steps=4)
    for kernels in ("auto", "events"):
        with pytest.raises(InputError, match=words):
            simulate(feed_forward(False), change(given), time_axis=0, kernels=kernels)


def test_arrays_of_counts_have_levels():
    """Encoders of more than one spike are run as pictures are; a count is the sum of as many inputs."""
    counts = np.random.default_rng(3).integers(-2, 3, (6, 2, 4, 1, 1))
    nodes = [Linear("in", "input", np.eye(4, dtype=np.float32)), Output("output", "in")]
    made = Network([Input("input", 4, Events(most=2, signed=True)), *nodes])
    assert np.array_equal(simulate(made, counts, time_axis=0).output, counts.mean(0, dtype=np.float32))
    with pytest.raises(InputError, match="whole numbers from -2 to 2"):
        simulate(made, counts * 2, time_axis=0)


def test_time_axis_is_said_of_arrays():
    given = spikes(2, 0.5, steps=4)
    with pytest.raises(InputError, match="say with time_axis which axis is time"):
        simulate(feed_forward(False), given)
    with pytest.raises(InputError, match="time_axis must be 0 of an x with 4 axes"):
        simulate(feed_forward(False), given[:, 0], time_axis=1)
    with pytest.raises(InputError, match="time_axis goes with arrays"):
        simulate(feed_forward(False), stream_of(given[:, 0]), time_axis=0)
    with pytest.raises(InputError, match="steps must be 4"):
        simulate(feed_forward(False), given, steps=5, time_axis=0)


def test_a_population_for_each_class_is_a_connection_of_ones():
    """Groups of neighbouring neurons, as snnTorch's population coding takes them."""
    classes, size = 3, 7
    hidden = weights(classes * size, 35, False, 0)
    groups = np.kron(np.eye(classes, dtype=np.float32), np.ones((1, size), np.float32))
    nodes = [Linear("in", "input", hidden), Neurons("neurons", "in", NEURONS), Linear("groups", "neurons", groups)]
    made = Network([Input("input", 35, Events()), *nodes, Output("output", "groups")])
    found = simulate(made, spikes(5, 0.2), time_axis=0, record=("spikes",))
    counts = found.spikes["neurons"].sum(axis=1).reshape(5, classes, size).sum(axis=2)
    assert counts.any()
    assert np.array_equal(found.output[..., 0, 0], counts / np.float32(40))


def test_the_ledger_is_worked_out_when_it_is_asked_for():
    found = simulate(feed_forward(False), spikes(2, 0.2, steps=4), time_axis=0)
    copied = pickle.loads(pickle.dumps(found))
    assert copied.operations.to_json() == found.operations.to_json()
    assert found.operations is found.operations
    assert (found.operations.pictures, found.total_events) == (2, sum(map(sum, found.events.values())))


def test_networks_are_let_go():
    made = feed_forward(False)
    simulate(made, spikes(2, 0.2, steps=4), time_axis=0)
    kept = weakref.ref(made)
    del made
    gc.collect()
    assert kept() is None
