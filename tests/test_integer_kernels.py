"""Layers in integers give the bits that walking from event to event gives, with every kind of kernel."""

from __future__ import annotations

import itertools
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
from band_by_band import band_by_band
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    Linear,
    MultiThreshold,
    Network,
    Neurons,
    Output,
)
from spikeunet.engine import simulate as simulate_with
from spikeunet.engine.binding import allowed_kernels, build_program, gather_layer
from spikeunet.engine.binding.kernel_choice import host_kernels
from spikeunet.engine.kernels import dot, dot_groups
from spikeunet.engine.kernels.compilation import compiled_bare
from spikeunet.engine.kernels.tables import SEGMENT
from spikeunet.engine.memory import Shelf
from spikeunet.engine.simulation.bands import band_rows, bound_program, layer_run
from spikeunet.engine.simulation.currents import sources as event_sources
from spikeunet.engine.simulation.memory import worker_memory
from spikeunet.engine.testing import reference, strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_operations

pytestmark = pytest.mark.timeout(900)  # kernels are compiled

KINDS = ["portable", "vnni", "amx"]
QUADS = "event-integers"
LADDER = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)
UNEVEN = MultiThreshold((0.75, 0.25), initial=0.125)


def weight(generator, *shape):
    """Integers of 8 bits times a power of two of each output channel; some of them 0."""
    numbers = generator.integers(-127, 128, shape) * (generator.random(shape) < 0.8)
    return (numbers * 2.0**-9).astype(np.float32)


def network(neurons=LADDER, others=UNEVEN):
    """Strides, a transposed convolution, groups, a dilation, channels that fill no vector, sources of two ladders."""
    generator = np.random.default_rng(3)
    bias = (generator.integers(-8, 9, 70) * 2.0**-11).astype(np.float32)
    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(generator, 40, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", weight(generator, 70, 40, 3, 3), bias, stride=2, padding=1),
            Neurons("relu2", "conv2", neurons),
            ConvTranspose2d("up", "relu2", weight(generator, 70, 20, 3, 3), stride=2, padding=1, output_padding=1),
            Neurons("relu3", "up", others),
            Conv2d("grouped", "relu1", weight(generator, 20, 20, 3, 3), padding=2, dilation=2, groups=2),
            Neurons("relu4", "grouped", neurons),
            Concat("concat", ("relu3", "relu4", "relu1")),
            Conv2d("joined", "concat", weight(generator, 32, 80, 3, 3), padding=1),
            Neurons("relu5", "joined", neurons),
            Concat("mixed", ("relu5", "relu3")),
            AvgPool2d("pool", "mixed", (2, 4), 2, (1, 2)),
            Neurons("relu6", "pool", neurons),
            Linear("full", "relu6", weight(generator, 12, 52 * 7 * 8)),
            Output("output", "full"),
        ]
    )


@pytest.fixture(scope="module")
def picture():
    """(C, H, W), about a third of the first neurons fire."""
    return (np.random.default_rng(4).integers(0, 65, (2, 12, 14)) / 32).astype(np.float32)


def by_events(*arguments, **options):
    """`simulate` from event to event."""
    return simulate_with(*arguments, **options, kernels="events")


def simulate(*arguments, kind="portable", **options):
    """`simulate` in integers, wherever currents are sums of integers, by a kind of kernels."""
    kind = dot.host_dots()[0] if kind == "fastest" else kind
    if kind not in host_kernels():
        pytest.skip("this processor has no such instructions")
    return simulate_with(*arguments, **options, kernels=kind)


def program_of(net, picture, kind="portable"):
    """What `simulate` runs."""
    kind = dot.host_dots()[0] if kind == "fastest" else kind
    return build_program(net, picture.shape, allowed_kernels(kind))


def in_integers(net, picture):
    """Names of the layers that can run in integers."""
    return [layer.name for layer in program_of(net, picture).layers if layer.dense_kernels == "portable"]


@pytest.mark.parametrize(
    # Groups of 8, 2 and 1 steps; each size of a group takes kernels of its own.
    ("kind", "steps"),
    [
        ("portable", 1),
        ("portable", 3),
        ("vnni", 1),
        ("vnni", 3),
        ("amx", 1),
        ("fastest", 3),
        pytest.param("fastest", 11, marks=pytest.mark.slow),
        (QUADS, 1),
        (QUADS, 3),
        pytest.param(QUADS, 15, marks=pytest.mark.slow),
    ],
)
def test_same_as_the_event_driven_kernels(kind, steps, picture):
    expected = by_events(network(), picture, steps, threads=1, record=RECORDS)
    net = network()
    assert sorted(in_integers(net, picture)) == ["output", "relu2", "relu3", "relu4", "relu5"]
    assert_same(simulate(net, picture, steps, threads=1, record=RECORDS, kind=kind), expected)
    # Without recordings, all bands of a layer run in one kernel.
    plain = simulate(net, picture, steps, threads=2, kind=kind)
    np.testing.assert_array_equal(plain.output, expected.output)
    assert plain.operations.totals == expected.operations.totals


@pytest.mark.parametrize(
    # Output channels of blocks of four vectors, and of six, five and seven, whose bytes are interleaved
    # four, two and one vector at a time.
    ("channels", "steps"),
    [(128, 1), (96, 1), *(pytest.param(width, 15, marks=pytest.mark.slow) for width in (96, 160, 224))],
)
def test_wide_layers_from_event_to_event(channels, steps, picture):
    """A window of three pixels, a transposed convolution and single pixels, as the shipped networks have."""
    generator = np.random.default_rng(5)
    net = Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(generator, 21, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", LADDER),
            Conv2d("conv2", "relu1", weight(generator, channels, 21, 3, 3), padding=1),
            Neurons("relu2", "conv2", LADDER),
            ConvTranspose2d("up", "relu1", weight(generator, 21, channels, 2, 2), stride=2),
            Neurons("relu3", "up", UNEVEN),
            Conv2d("conv3", "relu2", weight(generator, channels, channels, 1, 1)),
            Output("output", "conv3"),
        ]
    )
    expected = by_events(net, picture, steps, threads=1, record=RECORDS)
    assert expected.spikes["relu1"].mean() > 0.02
    found = simulate(net.replace(), picture, steps, threads=1, record=RECORDS, kind=QUADS)
    assert {found.kernels[name] for name in ("relu2", "relu3", "output")} == {(QUADS,)}
    assert_same(found, expected)


def test_same_as_the_reference(picture):
    assert_same(simulate(network(), picture, 3, threads=1, record=RECORDS), reference.simulate(network(), picture, 3))


@pytest.mark.parametrize("neurons", [IntegrateAndFire(1.0), LeakyIntegrateAndFire(0.5, decay=0.5)], ids=["IF", "LIF"])
def test_other_neurons(neurons, picture):
    expected = by_events(network(neurons, LADDER), picture, 3, threads=1, record=RECORDS)
    assert_same(simulate(network(neurons, LADDER), picture, 3, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("order", ["layer", "time"])
def test_bands_of_one_row_and_both_orders(order, picture, monkeypatch):
    expected = by_events(network(), picture, 3, threads=1, record=RECORDS, order=order)
    monkeypatch.setattr(band_rows, "_BAND_BYTES", 1)
    monkeypatch.setattr(band_rows, "_MANY_WEIGHTS", 1 << 40)
    assert_same(simulate(network(), picture, 3, threads=2, record=RECORDS, order=order), expected)


@pytest.mark.parametrize("steps", [1, 2])
def test_without_masks(steps, picture, monkeypatch):
    """Entries are spread out one by one where it was not noted which channels they are of."""
    expected = simulate(network(), picture, steps, threads=1)
    monkeypatch.setattr(event_sources, "masks_of", lambda *_: np.zeros(0, np.uint8))
    plain = simulate(network(), picture, steps, threads=1)
    np.testing.assert_array_equal(plain.output, expected.output)
    assert plain.operations.totals == expected.operations.totals


def test_events_that_planes_cannot_count(picture, monkeypatch):
    """Levels may have no value; what weights of zero they meet is counted as for the event-driven kernels."""
    expected = simulate(network(), picture, 1, threads=1)
    terms = gather_layer.integer_terms
    without = lambda *given: (found := terms(*given)) and replace(found, every_level_counts=False)  # noqa: E731
    monkeypatch.setattr(gather_layer, "integer_terms", without)
    assert_same_operations(simulate(network(), picture, 1, threads=1).operations, expected.operations)


def odd_network():
    """A source that comes twice, kernels larger than the picture and with gaps, pixels of 3 and of 65 channels.

    A transposed convolution reads nothing for some of its rows, and for others rows above those of the band before.
    """
    generator = np.random.default_rng(5)
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", weight(generator, 33, 1, 1, 1) * 4),
            Neurons("relu1", "conv1", UNEVEN),
            Concat("twice", ("relu1", "relu1")),
            Conv2d("large", "twice", weight(generator, 65, 66, 3, 4), None, (1, 3), (3, 3), (3, 2)),
            Neurons("relu2", "large", LADDER),
            ConvTranspose2d("up", "relu2", weight(generator, 65, 12, 2, 3), None, (2, 2), (1, 0), (2, 0), (3, 1)),
            Neurons("relu3", "up", LADDER),
            AvgPool2d("pool", "relu3", (4, 1), (3, 2), (2, 0)),
            Neurons("relu4", "pool", LADDER),  # narrow pixels, at the edge of what is read
            Conv2d("narrow", "relu4", weight(generator, 3, 12, 2, 2), None, 2, (0, 1)),
            Neurons("relu5", "narrow", LADDER),
            Conv2d("last", "relu5", weight(generator, 12, 3, 5, 5), padding=2),
            Output("output", "last"),
        ]
    )


@contextmanager
def used_memory(compiled=True):
    """Let memory be full of what another layer has left there, and see that nothing is written behind its end.

    Layer by layer, the end is that of what a layer asks for; of compiled calls, what all of its layers ask for.
    """
    get, new, behind = worker_memory.Scratch.array, np.empty, {}

    def array(self, name, size, dtype=np.float32):
        found = get(self, name, size + 4096, dtype)
        whole = self._arrays[name, dtype]
        if compiled:
            behind[self, name, dtype] = whole[-4096:].view(np.uint8)
            behind[self, name, dtype][:] = 90
            return found[:size]
        check(behind.pop((self, name, dtype), found[:0]))
        if name in ("planes", "sums", "zero sums"):
            found.view(np.uint8)[:] = 255
        behind[self, name, dtype] = found[size:].view(np.uint8)
        behind[self, name, dtype][:] = 90
        return found[:size]

    def check(rest):
        assert (rest == 90).all(), "written behind the end"

    def empty(shape, dtype=np.float64, *arguments, **options):
        found = new(shape, dtype, *arguments, **options)
        if found.dtype.kind in "iu":
            found[...] = -1 if found.dtype.kind == "i" else np.iinfo(found.dtype).max
        return found

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(worker_memory.Scratch, "array", array)
        monkeypatch.setattr(layer_run, "_scratches", Shelf(layer_run.IDLE))
        monkeypatch.setattr(np, "empty", empty)
        with nullcontext() if compiled else band_by_band():
            yield
    for rest in behind.values():
        check(rest)


@pytest.mark.parametrize("shape", [(1, 7, 19), (1, 1, 1), (1, 2, 64)], ids=["7x19", "1x1", "2x64"])
@pytest.mark.parametrize("kind", ["portable", "fastest", QUADS])
def test_odd_geometries_in_memory_that_was_used_before(kind, shape, monkeypatch):
    """In bands of one row too, which one worker or two take."""
    picture = (np.random.default_rng(6).integers(0, 65, shape) / 32).astype(np.float32)
    expected = by_events(odd_network(), picture, 1, threads=1, record=RECORDS)
    assert {"output", "relu2", "relu3"} <= set(in_integers(odd_network(), picture))
    monkeypatch.setattr(band_rows, "_BAND_BYTES", 1)
    monkeypatch.setattr(layer_run, "THREADED_WORK", 0)
    monkeypatch.setattr(bound_program, "THREADED_WORK", 0)
    for threads, compiled in itertools.product((1, 2), (True, False)):
        with used_memory(compiled):
            net = odd_network()
            plain = simulate(net, picture, 1, threads=threads, kind=kind)
        assert bool(len(bound_program._shelf(program_of(net, picture, kind)))) == compiled
        np.testing.assert_array_equal(plain.output, expected.output)
        assert_same_operations(plain.operations, expected.operations)
    with used_memory(compiled=False):
        assert_same(simulate(odd_network(), picture, 1, threads=1, record=RECORDS, kind=kind), expected)


@pytest.mark.parametrize(
    ("make", "shape", "tile", "kind"),
    [
        (network, (2, 12, 14), 2, "portable"),
        (network, (2, 12, 14), 5, QUADS),
        (odd_network, (1, 5, 64), 2, QUADS),
        (odd_network, (1, 5, 64), 5, "portable"),
        pytest.param(odd_network, (1, 5, 64), 1, "portable", marks=pytest.mark.slow),
    ],
)
def test_tiles(make, shape, tile, kind):
    picture = (np.random.default_rng(8).integers(0, 65, shape) / 32).astype(np.float32)
    expected = by_events(make(), picture, 3, threads=1, record=RECORDS)
    with used_memory(compiled=False):
        assert_same(simulate(make(), picture, 3, threads=2, record=RECORDS, tile=tile, kind=kind), expected)


def test_long_runs_of_active_pixels():
    """More pixels side by side than the bytes in which events are counted can say."""
    generator = np.random.default_rng(7)
    net = [
        Input("input", 1),
        Conv2d("conv1", "input", np.ones((33, 1, 1, 1), np.float32)),
        Neurons("relu1", "conv1", UNEVEN),
        Conv2d("conv2", "relu1", weight(generator, 12, 33, 1, 3), padding=(0, 1)),
        Output("output", "conv2"),
    ]
    pixels = np.ones((1, 2, 700), np.float32)
    results = [run(Network(net), pixels, 1, threads=1, record=RECORDS) for run in (by_events, simulate)]
    assert_same(*results)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    case=strategies.cases(strategies.ladder_models(), every_kernel=True, delays=False),
    kind=st.sampled_from([*KINDS, QUADS]),
    tile=st.integers(1, 20),
)
def test_many_random_networks(case, kind, tile):
    if kind not in host_kernels():
        return
    expected = by_events(case.network, case.picture, case.steps, threads=1, record=RECORDS)
    with used_memory():
        found = simulate(case.network, case.picture, case.steps, threads=2, record=RECORDS, tile=tile, kind=kind)
    assert_same(found, expected)


def test_processors_that_refuse_tiles(monkeypatch):
    """A system may not let a process have the tile registers of its processor."""
    features = frozenset({"avx512f", "avx512vnni", "amx-tile", "amx-int8"})
    found = []
    for granted in (True, False):
        monkeypatch.setattr(dot, "host_features", lambda: features)
        monkeypatch.setattr(dot, "_tiles_granted", lambda granted=granted: granted)
        found.append(dot.host_dots.__wrapped__())
    assert found == [("amx", "vnni", "portable"), ("vnni", "portable")]
    monkeypatch.setattr(dot, "host_features", lambda: features - {"avx512vnni", "amx-int8"})
    assert dot.host_dots.__wrapped__() == ("portable",)


# --- Which layers ----------------------------------------------------------------------------------------------------


OUT = 12
"""Output channels that fill 16 lanes up, however narrow a vector is."""


def one_layer(weights, bias=None, neurons=LADDER):
    return Network(
        [
            Input("input", 1),
            Conv2d("conv1", "input", np.ones((weights.shape[1], 1, 1, 1), np.float32)),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", weights, bias),
            Output("output", "conv2"),
        ]
    )


def has_integers(*arguments, **options):
    return in_integers(one_layer(*arguments, **options), np.zeros((1, 4, 4), np.float32)) == ["output"]


def test_which_layers_have_integers():
    whole = np.full((OUT, 3, 1, 1), 127 / 64, np.float32)
    assert has_integers(whole)
    assert has_integers(np.zeros((OUT, 3, 1, 1), np.float32))
    assert not has_integers(whole + np.float32(1 / 128))
    assert not has_integers(np.full((OUT, 3, 1, 1), 0.1, np.float32))
    # The bias is a number of quanta of 1/4 times the weights' unit, 1/64.
    assert has_integers(whole, np.full(OUT, 3 / 256, np.float32))
    assert not has_integers(whole, np.full(OUT, 3 / 512, np.float32))
    assert not has_integers(whole, neurons=MultiThreshold((0.7, 0.1)))
    assert has_integers(whole, neurons=MultiThreshold(tuple(2.0**-k for k in range(8))))


def test_sums_that_float32_would_round():
    """255 quanta times 127, summed up over more than 518 inputs, is more than 2**24."""
    ladder = MultiThreshold(tuple(2.0**-k for k in range(8)))
    assert has_integers(np.full((OUT, 518, 1, 1), 127, np.float32), neurons=ladder)
    assert not has_integers(np.full((OUT, 519, 1, 1), 127, np.float32), neurons=ladder)
    mixed = np.full((OUT, 1036, 1, 1), 127, np.float32)
    mixed[:, ::2] *= -1
    assert has_integers(mixed, neurons=ladder)
    assert not has_integers(mixed, np.full(OUT, 2.0**18, np.float32), neurons=ladder)


# --- Kernels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "vectors", "few"),
    [*((kind, vectors, 0) for kind in KINDS for vectors in (1, 2)), *(("vnni", 1, few) for few in (1, 2, 3, 4))],
)
@given(data=st.data())
def test_sums_of_products(kind, vectors, few, data):
    """Against NumPy, with the largest and smallest numbers, segments that fill no chunk and others of several."""
    if kind not in dot.host_dots():
        pytest.skip("this processor has no such instructions")
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    quads = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    stride = 4 * data.draw(st.integers(1, 9))
    extreme = data.draw(st.booleans())
    chunks = [-(-number // dot.LANES) for number in quads]
    planes = generator.choice([0, 255] if extreme else np.arange(256), 8192).astype(np.uint8)
    weights = generator.choice([-127, 127] if extreme else np.arange(-127, 128), (sum(chunks), vectors, 16, 16, 4))
    if few:
        weights[..., few:, :] = 0
    begins, place, segments, expected = (64, 1024), 0, [], np.zeros((2, dot.GROUP, vectors, dot.LANES), np.int64)
    chunk_bytes = few * dot.CHUNK_LEVELS or vectors * dot.CHUNK_BYTES
    for number, count in zip(quads, chunks, strict=True):
        weights[place + count - 1, :, (number - 1) % 16 + 1 :] = 0
        offset = 4 * int(generator.integers(0, 64))
        segments.append((offset, number, place * chunk_bytes))
        part = weights[place : place + count].transpose(0, 2, 4, 1, 3).reshape(-1, vectors, 16)
        for group, pixel in np.ndindex(2, dot.GROUP):
            levels = planes[begins[group] + pixel * stride + offset :][: len(part)].astype(np.int64)
            expected[group, pixel] += np.tensordot(levels, part, 1)
        place += count
    if few:  # chunk, channel, level
        weights = weights[:, 0, :, :few].transpose(0, 2, 1, 3)
    sums = np.full(expected.size, 7, np.int32)
    run_groups(
        dot.dot_token(kind, vectors, few), np.array(segments, SEGMENT), planes, begins, stride,
        weights.astype(np.int8).reshape(-1), sums, dot.tile_configuration(),
    )  # fmt: skip
    np.testing.assert_array_equal(sums.reshape(expected.shape), expected)


@compiled_bare
def run_groups(token, segments, planes, begins, stride, weights, sums, tiles):
    if len(token[0]) == 3:
        dot.load_configuration(tiles)
    dot_groups.add_groups(token, segments, (0, len(segments)), planes, begins, stride, weights, 0, sums, 0)
    if len(token[0]) == 3:
        dot.release_tiles()
