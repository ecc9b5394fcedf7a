"""All layers in one call: the same as layer by layer, whatever is left to layers of their own meanwhile."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from functools import partial

import numba
import numpy as np
import pytest
from band_by_band import band_by_band
from hypothesis import assume, given
from hypothesis import strategies as st

from spikeunet.engine import (
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)
from spikeunet.engine import simulate as simulate_with
from spikeunet.engine.binding import allowed_kernels, kernel_choice
from spikeunet.engine.binding import build_program as build
from spikeunet.engine.kernels import dot
from spikeunet.engine.kernels.bound_call import bind, call, compiled_phase
from spikeunet.engine.kernels.compilation import compiled_bare
from spikeunet.engine.kernels.entries import host_compresses
from spikeunet.engine.kernels.shared_counter import TAKEN, next_band
from spikeunet.engine.memory import IdleMemory
from spikeunet.engine.simulation import picture_run
from spikeunet.engine.simulation.bands import bound_program, layer_run
from spikeunet.engine.simulation.memory import queue_memory
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_operations
from spikeunet.engine.threads import workers

LADDER = MultiThreshold((1.0, 0.5, 0.25))
KINDS = ("portable", "vnni", "amx")

pytestmark = pytest.mark.skipif(not host_compresses(), reason="this processor cannot compress vectors")


def weight(generator, *shape):
    """Integers of 8 bits times a power of two; some of them 0."""
    numbers = generator.integers(-127, 128, shape) * (generator.random(shape) < 0.8)
    return (numbers * 2.0**-9).astype(np.float32)


def unet(channels=16, seed=1):
    """Two levels, a skip connection, pixels whose channels fill whole words of a mask or do not."""
    generator = np.random.default_rng(seed)
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(generator, channels, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Conv2d("conv2", "relu1", weight(generator, channels, channels, 3, 3), padding=1),
            Neurons("relu2", "conv2", LADDER),
            AvgPool2d("pool", "relu2", 2),
            Neurons("pooled", "pool", LADDER),
            Conv2d("conv3", "pooled", weight(generator, 2 * channels, channels, 3, 3), padding=1),
            Neurons("relu3", "conv3", LADDER),
            ConvTranspose2d("up", "relu3", weight(generator, 2 * channels, channels, 2, 2), stride=2),
            Neurons("upwards", "up", LADDER),
            Concat("concat", ("upwards", "relu2")),
            Conv2d("conv4", "concat", weight(generator, channels, 2 * channels, 3, 3), padding=1),
            Neurons("relu4", "conv4", LADDER),
            Conv2d("last", "relu4", weight(generator, 1, channels, 1, 1)),
            Output("output", "last"),
        ]
    )


def picture(*shape, seed=2):
    """Pixels from 0 to 2."""
    return (np.random.default_rng(seed).integers(0, 65, shape) / 32).astype(np.float32)


def simulate(net, pixels, steps, threads=1, kind="portable"):
    """By kernels in integers of this kind where enough neurons fire, see `compiled_calls`."""
    return simulate_with(net, pixels, steps, threads=threads, kernels=("events", kind))


def build_program(net, shape):
    """What `simulate` runs."""
    return build(net, shape, allowed_kernels(("events", "portable")))


@pytest.fixture
def compiled_calls(monkeypatch):
    """Have small networks run in integers where so large a share of neurons fires; says which layers could not be."""

    # However many there are here: threads of compiled calls wait awake, and there are no more of them than processors.
    monkeypatch.setattr(workers, "available_processors", lambda: 64)

    def choose(share=0.0, pooling=0.0):
        bound_later = []
        bind = bound_program.BoundGroup._bind

        def noted(self, indices, choice=0):
            if choice:
                bound_later.extend(self.layers[index].name for index in indices)
            bind(self, indices, choice)

        shares = {**dict.fromkeys(KINDS, share), "planes": pooling}
        monkeypatch.setattr(kernel_choice, "SHARE_THAT_PAYS", shares)
        monkeypatch.setattr(bound_program, "THREADED_WORK", 0)
        monkeypatch.setattr(layer_run, "THREADED_WORK", 0)
        monkeypatch.setattr(bound_program.BoundGroup, "_bind", noted)
        return bound_later

    return choose


def idle(net, shape):
    """The compiled_calls that a network keeps for pictures of one shape."""
    return list(bound_program._shelf(build_program(net, shape)))


def by_layer(net, pixels, steps, kind="portable"):
    """Layer by layer, on one thread."""
    with band_by_band():
        return simulate(net, pixels, steps, kind=kind)


def assert_same(found, expected):
    np.testing.assert_array_equal(found.output, expected.output)
    assert_same_operations(found.operations, expected.operations)


@pytest.mark.parametrize(
    ("channels", "threads", "steps"),
    [
        *((channels, threads, 1) for channels in (16, 33) for threads in (1, 2, 3)),
        pytest.param(33, 2, 8, marks=pytest.mark.slow),
    ],
)
def test_same_as_layer_by_layer(channels, steps, threads, compiled_calls):
    bound_later = compiled_calls()
    net, pixels = unet(channels), picture(2, 20, 36)
    expected = by_layer(net, pixels, steps)
    assert expected.density > 0.05
    # Again and again, in memory that the last run has left behind.
    for _ in range(3):
        assert_same(simulate(net, pixels, steps, threads=threads), expected)
    assert not bound_later
    assert len(idle(net, pixels.shape)) == 1


def test_same_as_the_reference(compiled_calls):
    compiled_calls()
    net, pixels = unet(), picture(2, 6, 10)
    expected = reference.simulate(net, pixels, 8)
    found = simulate(net, pixels, 8, threads=2)
    np.testing.assert_array_equal(found.output, expected.output)
    for name, events in expected.events.items():
        np.testing.assert_array_equal(found.events[name], events)


@pytest.mark.slow
def test_the_same_bands_with_room_for_events_and_without(compiled_calls, monkeypatch):
    """There is none for the events of eight steps, and some for those of the step after them."""
    compiled_calls()
    net, pixels = unet(), picture(2, 20, 36)
    expected = by_layer(net, pixels, 9)
    layers = build_program(net, pixels.shape).layers
    most = max(queue_memory.block_bytes(layer, 1) for layer in layers)
    monkeypatch.setattr(queue_memory, "MOST_BYTES", most)
    runs = []
    monkeypatch.setattr(picture_run, "LayerRun", lambda *given: runs.append(given[2]) or layer_run.LayerRun(*given))
    assert_same(simulate(net.replace(), pixels, 9, threads=2), expected)
    assert 8 in runs


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_kernels(kind, compiled_calls):
    if kind not in dot.host_dots():
        pytest.skip("this processor has no such instructions")
    compiled_calls()
    net, pixels = unet(), picture(2, 20, 36)
    found = simulate(net, pixels, 1, threads=2, kind=kind)
    assert_same(found, by_layer(net, pixels, 1, kind))
    assert set(found.kernels.values()) == {("picture",), ("planes",), (kind,)}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("share", "pooling", "expected"),
    [
        (0.0, 2.0, ["pooled"]),
        (2.0, 0.0, ["relu2", "relu3", "upwards", "relu4", "output"]),
        (2.0, 2.0, ["relu2", "pooled", "relu3", "upwards", "relu4", "output"]),
    ],
)
def test_layers_in_which_few_fire(share, pooling, expected, threads, compiled_calls):
    """They are run from event to event, and bound to kernels for that when they first are."""
    bound_later = compiled_calls(share, pooling)
    net, pixels = unet(), picture(2, 20, 36)
    for _ in range(2):
        found = simulate(net, pixels, 1, threads=threads)
        assert_same(found, by_layer(net, pixels, 1))
        assert bound_later == expected
    assert [name for name, kernels in found.kernels.items() if kernels == ("events",)] == expected


@pytest.mark.parametrize(("processors", "busy", "expected"), [(2, 0, 2), (2, 1, 1), (2, 8, 1), (8, 0, 3)])
def test_no_more_threads_than_processors_wait_awake(processors, busy, expected, compiled_calls, monkeypatch):
    compiled_calls()
    monkeypatch.setattr(workers, "available_processors", lambda: processors)
    net, pixels = unet(), picture(2, 20, 36)
    with workers.WorkerThreads(busy):
        simulate(net, pixels, 1, threads=3)
    assert [each.threads for each in idle(net, pixels.shape)] == [expected]


def test_silence_costs_nothing(compiled_calls):
    """Where no neuron fires, each layer is left to the kernels that walk from event to event."""
    bound_later = compiled_calls(share=0.01, pooling=0.01)
    net, pixels = unet(), np.zeros((2, 8, 8), np.float32)
    found = simulate(net, pixels, 1, threads=2)
    assert_same(found, by_layer(net, pixels, 1))
    assert found.total_events == 0
    assert len(bound_later) == 6


@pytest.mark.parametrize("kind", ["events", "portable"])
def test_weights_that_are_no_integers(kind, compiled_calls):
    """Their layers run from event to event, in one call too."""
    bound_later = compiled_calls()
    net, pixels = unet(), picture(2, 20, 36)
    net = net.replace([off_the_grid(node) if hasattr(node, "weight") else node for node in net.nodes])
    expected = by_layer(net, pixels, 1, kind)
    for threads in (1, 2):
        found = simulate(net, pixels, 1, threads=threads, kind=kind)
        assert_same(found, expected)
        assert {found.kernels[name] for name in ("relu2", "relu3", "output")} == {("events",)}
    assert not bound_later


def off_the_grid(node):
    """A convolution of which some weights are no integers of eight bits times one power of two, and some are zero."""
    weight = node.weight.copy()
    weight += np.float32(2**-13)
    weight[:, 0] = 0
    return dataclasses.replace(node, weight=weight)


def with_sums(net, read="input"):
    """A residual connection into neurons, and the picture past all of them."""
    generator, nodes = np.random.default_rng(3), list(net.nodes)
    channels = nodes[1].weight.shape[0]
    place = next(index for index, node in enumerate(nodes) if node.name == "relu2")
    shortcut = Conv2d("shortcut", "relu1", weight(generator, channels, channels, 1, 1))
    nodes[place] = dataclasses.replace(nodes[place], source="residual")
    nodes[place:place] = [shortcut, Add("residual", ("conv2", "shortcut"))]
    inputs = net[read].channels if read == "input" else channels
    past = Conv2d("past", read, weight(generator, 1, inputs, 3, 3), padding=1)
    nodes[-1:] = [past, Add("sum", ("last", "past", "past")), Output("output", "sum")]
    return Network(nodes)


@pytest.mark.parametrize("read", ["input", "relu1"])
@pytest.mark.parametrize(("steps", "threads"), [(1, 1), (1, 2), (3, 2), pytest.param(8, 3, marks=pytest.mark.slow)])
def test_sums(read, steps, threads, compiled_calls, monkeypatch):
    """They are compiled, too, whatever the weights."""
    compiled_calls()
    net = with_sums(unet(), read)
    for each in (net, net.replace([off_the_grid(node) if hasattr(node, "weight") else node for node in net.nodes])):
        for seed in (2, 3):
            pixels = picture(2, 20, 36, seed=seed)
            expected = by_layer(each, pixels, steps)
            with monkeypatch.context() as patch:
                patch.setattr(picture_run, "LayerRun", None)
                assert_same(simulate(each, pixels, steps, threads=threads), expected)


@pytest.mark.slow
def test_a_sum_after_a_run_that_was_not_compiled(compiled_calls):
    """In which the picture's current was kept for all steps; now it changes after four."""
    compiled_calls()
    net, (first, second) = with_sums(unet()), (picture(2, 20, 36, seed=seed) for seed in (2, 3))
    options = {"kernels": ("events", "portable"), "threads": 1, "time_axis": 0}
    simulate_with(net, np.stack([first] * 6), record=("readout",), **options)
    pixels = np.stack([first] * 4 + [second] * 2)
    found = simulate_with(net, pixels, **options)
    with band_by_band():
        assert_same(found, simulate_with(net, pixels, **options))


def test_kernels_of_a_sum(compiled_calls):
    compiled_calls()
    found = simulate(with_sums(unet()), picture(2, 20, 36), 1)
    assert found.kernels["relu2"] == ("portable",)
    assert found.kernels["output"] == ("picture", "portable")


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    ("channels", "kernel", "geometry"),
    [
        (1, (3, 3), {"padding": 1}),
        (2, (2, 5), {"padding": (0, 3), "dilation": (2, 1)}),
        (3, (4, 3), {"padding": 5, "stride": (3, 2)}),
        (1, (1, 4), {"padding": (1, 0), "stride": (1, 2)}),
    ],
)
def test_few_channels_of_the_picture(channels, kernel, geometry, steps, compiled_calls):
    """Rows of pixels give the bits that vectors of channels give, in compiled calls and in tiles, too."""
    compiled_calls()
    generator = np.random.default_rng(4)
    of_all, bias = generator.standard_normal((48, channels, *kernel)), generator.standard_normal(48)
    pixels = generator.standard_normal((channels, 11, 9)).astype(np.float32)

    def outputs(count):
        few = Conv2d("conv", "input", of_all[:count].astype(np.float32), bias[:count].astype(np.float32), **geometry)
        return Network([Input("input", channels), few, Output("output", "conv")])

    expected = simulate(outputs(48), pixels, steps, threads=2).output[:2]
    for run in (simulate, by_layer, partial(simulate_with, tile=2)):
        np.testing.assert_array_equal(run(outputs(2), pixels, steps).output, expected)


def test_channels_that_are_none_have_no_potentials():
    """Where potentials are watched: a layer of few channels finds what large currents have left in its memory."""
    halves, both = np.full((16, 1, 1, 2), 0.5, np.float32), np.array([[[[1, -1]]], [[[0.5, -0.5]]]], np.float32)
    nodes = [
        Input("input"),
        Conv2d("large", "input", halves),
        Neurons("many", "large", MultiThreshold((2.0**126, 2.0**125))),
        Conv2d("small", "input", both),
        Neurons("few", "small", MultiThreshold((1.0,))),
        Concat("all", ("many", "few")),
        Conv2d("last", "all", np.full((1, 18, 1, 1), 2.0**-100, np.float32)),
        Output("output", "last"),
    ]
    found = simulate_with(Network(nodes), np.full((1, 6, 9), 2.0**126, np.float32), 9, threads=1)
    assert np.isfinite(found.output).all()
    assert found.output.min() > 0


@pytest.mark.parametrize("shape", [(3, 2, 8, 12), (1, 2, 8, 12)])
def test_batches(shape, compiled_calls):
    compiled_calls()
    net, pixels = unet(), picture(*shape)
    found = simulate(net, pixels, 1, threads=2)
    for index, each in enumerate(pixels):
        np.testing.assert_array_equal(found.output[index], by_layer(net, each, 1).output)
    assert_same_operations(found.operations, by_layer(net, pixels, 1).operations)


def test_potentials_after_a_run_that_did_not_keep_them(compiled_calls):
    compiled_calls()
    net, pixels = unet(), picture(2, 8, 8)
    expected = simulate_with(unet(), pixels, 1, record=("membrane", "state"), threads=1)
    for record in ((), ("membrane", "state"), (), "membrane"):
        found = simulate_with(net, pixels, 1, record=record, threads=1)
        np.testing.assert_array_equal(found.output, expected.output)
    for name, potentials in expected.membrane.items():
        np.testing.assert_array_equal(found.membrane[name], potentials)


def test_in_several_threads_of_the_program(compiled_calls):
    """Each has a bound program of its own."""
    compiled_calls()
    net = unet()
    pictures = [picture(2, 20, 36, seed=seed) for seed in range(4)]
    expected = [by_layer(net, pixels, 1).output for pixels in pictures]
    found = [[] for _ in pictures]

    def work(index):
        for _ in range(5):
            found[index].append(simulate(net, pictures[index], 1, threads=2).output)

    others = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for other in others:
        other.start()
    for other in others:
        other.join()
    for outputs, output in zip(found, expected, strict=True):
        assert len(outputs) == 5
        for each in outputs:
            np.testing.assert_array_equal(each, output)


@pytest.mark.parametrize("which", ["input", "helper", "caller"])
def test_an_error_in_one_thread_ends_all(which, compiled_calls, monkeypatch):
    """None waits for another that will not come, and the next run is as if nothing had happened."""
    compiled_calls()
    net, pixels = unet(), picture(2, 20, 36)
    expected = simulate(net, pixels, 1, threads=2)
    run, main = bound_program.run_layers, threading.current_thread()

    def fail(*arguments):
        if (threading.current_thread() is main) == (which == "caller"):
            raise KeyError("lost")
        run(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        if which == "input":
            patch.setattr(picture_run.PictureRun, "_add_inputs", lambda *_: {}["lost"])
        else:
            patch.setattr(bound_program, "run_layers", fail)
        with pytest.raises(KeyError, match="lost"):
            simulate(net, pixels, 1, threads=2)
    assert_same(simulate(net, pixels, 1, threads=2), expected)


# --- Memory ----------------------------------------------------------------------------------------------------------


def test_bound_programs_end_with_their_network(compiled_calls):
    compiled_calls()
    net = unet()
    simulate(net, picture(2, 8, 8), 1)
    (kept,) = (weakref.ref(each) for each in idle(net, (2, 8, 8)))
    gc.collect()
    gc.disable()
    try:
        del net
        assert kept() is None
    finally:
        gc.enable()


def test_the_oldest_idle_bound_programs_are_given_up(compiled_calls, monkeypatch):
    compiled_calls()
    monkeypatch.setattr(bound_program, "IDLE", IdleMemory(1 << 29))
    net, sizes = unet(), [(8, 8), (8, 12), (8, 16)]

    def kept():
        return [len(idle(net, (2, *size))) for size in sizes]

    for size in sizes[:2]:
        simulate(net, picture(2, *size), 1)
    assert kept() == [1, 1, 0]
    bound_program.IDLE.most_bytes = bound_program.IDLE.nbytes
    simulate(net, picture(2, *sizes[0]), 1)
    simulate(net, picture(2, *sizes[0]), 1)
    assert kept() == [1, 1, 0]
    simulate(net, picture(2, *sizes[2]), 1)
    assert kept() == [0, 0, 1]
    bound_program.IDLE.most_bytes = 0
    simulate(net, picture(2, *sizes[2]), 1)
    assert kept() == [0, 0, 0]


def test_too_large_for_shared_memory(compiled_calls, monkeypatch):
    compiled_calls()
    net, pixels = unet(), picture(2, 8, 8)
    monkeypatch.setattr(queue_memory, "MOST_SHARED_BYTES", 1000)
    assert_same(simulate(net, pixels, 1), by_layer(net, pixels, 1))
    assert not idle(net, pixels.shape)


def test_layers_too_large_for_eight_steps_but_not_for_fewer(compiled_calls, monkeypatch):
    """The last groups of steps may then need more shared memory than the first ones."""
    compiled_calls()
    net, pixels = unet(), picture(2, 8, 8)
    first, *_ = build_program(net, pixels.shape).layers
    monkeypatch.setattr(queue_memory, "MOST_BYTES", queue_memory.block_bytes(first, 1))
    made = bound_program.BoundProgram(build_program(net, pixels.shape), (8, 8, 2), 8, 1, carries=True)
    assert len(made.block) >= max(made.places[steps][1] for steps in (1, 2, 4, 8)) > made.places[8][1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=12))
def test_places_in_a_block_do_not_overlap_while_they_are_read(parts):
    sizes = [size for size, _ in parts]
    lasts = [min(index + more, len(parts) - 1) for index, (_, more) in enumerate(parts)]
    places, total = queue_memory.places_in_block(sizes, lasts)
    for time in range(len(parts)):
        living = [k for k in range(time + 1) if lasts[k] >= time]
        held = [byte for k in living for byte in range(places[k], places[k] + sizes[k])]
        assert len(set(held)) == len(held)
        assert max(held, default=-1) < total
    # No more than all of them side by side.
    assert total <= sum(sizes)


# --- Kernels ---------------------------------------------------------------------------------------------------------


@compiled_phase
def _add_up(number, arrays, numbers, nothing, pair, target):
    target[0] = arrays[0][1, 2] + arrays[1][1]
    target[1] = numbers[0] + numbers[1][1]
    target[2] = pair[0].size + pair[1].size + number


@numba.njit
def _call(function, block, number):
    call(function, block, number)


def test_arguments_by_address():
    """Arrays of several types, views, empty ones, nested tuples and None arrive as they are."""
    wide = np.arange(12.0).reshape(3, 4)
    target = np.zeros(3)
    arguments = (
        (wide, np.array([1, 200], np.uint8)),
        (7, (1, -3, 1 << 40)),
        None,
        (np.zeros((0, 4), np.float32), wide[1:]),
        target,
    )
    function, block = bind(_add_up, arguments)
    _call(function, block.ctypes.data, 20)
    assert target.tolist() == [206, 4, 28]


@compiled_bare
def _without_way_in(number, target):
    target[0] = number


def test_a_kernel_without_a_way_in_by_address_is_refused():
    with pytest.raises(TypeError, match="_without_way_in cannot be called by address"):
        bind(_without_way_in, (np.zeros(1),))


@given(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_each_band_is_taken_once(workers, sizes, random):
    """Whoever asks when; a worker takes its own share first."""
    assume(workers <= len(sizes))
    shares = np.cumsum([0, *sizes])
    counters = np.zeros(TAKEN + len(sizes), np.int64)
    taken, own = [], [0] * workers
    while True:
        worker = random.randrange(workers)
        band = _next(counters, shares, worker)
        if band < 0:
            break
        taken.append(band)
        if own[worker] < sizes[worker] and not any(shares[worker] <= b < shares[worker + 1] for b in taken[:-1]):
            assert shares[worker] <= band < shares[worker + 1]
        own[worker] += 1
    assert sorted(taken) == list(range(sum(sizes)))
    assert all(_next(counters, shares, worker) == -1 for worker in range(workers))


@numba.njit
def _next(counters, shares, worker):
    return next_band(counters, shares, worker)
