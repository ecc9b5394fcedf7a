"""Layers in integers give the bits that walking from event to event gives, with every kind of kernel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
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
    simulate,
)
from spikeunet.engine.build import integer_layer, integer_plan, layers
from spikeunet.engine.kernels import dot
from spikeunet.engine.kernels.vector_block import compiled_bare
from spikeunet.engine.neurons import level_table
from spikeunet.engine.simulation import dot_run, layer_run, pool_run
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import RECORDS, assert_same

pytestmark = pytest.mark.timeout(900)  # kernels are compiled

KINDS = ["portable", "vnni", "amx"]
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
            Linear("full", "relu6", weight(generator, 5, 52 * 7 * 8)),
            Output("output", "full"),
        ]
    )


@pytest.fixture(scope="module")
def picture():
    """(C, H, W), about a third of the first neurons fire."""
    return (np.random.default_rng(4).integers(0, 65, (2, 12, 14)) / 32).astype(np.float32)


@pytest.fixture
def integers(monkeypatch):
    """Have all layers run in integers, by a kind of kernel, or none of them."""

    def choose(kind):
        if kind is not None and kind not in dot.host_dots():
            pytest.skip("this processor has no such instructions")
        monkeypatch.setattr(integer_layer, "host_dot", lambda: kind)
        monkeypatch.setattr(dot_run, "DENSITY_THAT_PAYS", dict.fromkeys(KINDS, 0.0))
        monkeypatch.setattr(pool_run, "POOLING_DENSITY_THAT_PAYS", 2.0 if kind is None else 0.0)

    return choose


def in_integers(net, picture):
    """Names of the layers that can run in integers."""
    return [layer.name for layer in layers.build_program(net, picture.shape).layers if layer.integers is not None]


@pytest.mark.parametrize("steps", [1, 2, 8, 11])
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_the_event_driven_kernels(kind, steps, picture, integers):
    integers(None)
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    integers(kind)
    net = network()
    assert sorted(in_integers(net, picture)) == ["output", "relu2", "relu3", "relu4", "relu5"]
    assert_same(simulate(net, picture, steps, threads=1, record=RECORDS), expected)
    # Without recordings, all bands of a layer run in one kernel.
    plain = simulate(net, picture, steps, threads=2)
    np.testing.assert_array_equal(plain.output, expected.output)
    assert plain.operations.totals == expected.operations.totals


def test_same_as_the_reference(picture, integers):
    integers("portable")
    assert_same(simulate(network(), picture, 3, threads=1, record=RECORDS), reference.simulate(network(), picture, 3))


@pytest.mark.parametrize("neurons", [IntegrateAndFire(1.0), LeakyIntegrateAndFire(0.5, decay=0.5)], ids=["IF", "LIF"])
def test_other_neurons(neurons, picture, integers):
    integers(None)
    expected = simulate(network(neurons, LADDER), picture, 4, threads=1, record=RECORDS)
    integers("portable")
    assert_same(simulate(network(neurons, LADDER), picture, 4, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("order", ["layer", "time"])
def test_bands_of_one_row_and_both_orders(order, picture, integers, monkeypatch):
    integers(None)
    expected = simulate(network(), picture, 3, threads=1, record=RECORDS, order=order)
    integers("portable")
    monkeypatch.setattr(layer_run, "_DOT_BYTES", 1)
    monkeypatch.setattr(layer_run, "_MANY_WEIGHTS", 1 << 40)
    assert_same(simulate(network(), picture, 3, threads=2, record=RECORDS, order=order), expected)


@pytest.mark.parametrize("steps", [1, 2])
def test_without_masks(steps, picture, integers, monkeypatch):
    """Entries are spread out one by one where it was not noted which channels they are of."""
    integers("portable")
    expected = simulate(network(), picture, steps, threads=1)
    monkeypatch.setattr(dot_run, "masks_of", lambda *_: np.zeros(0, np.uint8))
    plain = simulate(network(), picture, steps, threads=1)
    np.testing.assert_array_equal(plain.output, expected.output)
    assert plain.operations.totals == expected.operations.totals


# --- Which layers ----------------------------------------------------------------------------------------------------


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


def test_which_layers_have_integers(integers):
    integers("portable")
    whole = np.full((2, 3, 1, 1), 127 / 64, np.float32)
    assert has_integers(whole)
    assert has_integers(np.zeros((2, 3, 1, 1), np.float32))
    assert not has_integers(whole + np.float32(1 / 128))
    assert not has_integers(np.full((2, 3, 1, 1), 0.1, np.float32))
    # The bias is a number of quanta of 1/4 times the weights' unit, 1/64.
    assert has_integers(whole, np.full(2, 3 / 256, np.float32))
    assert not has_integers(whole, np.full(2, 3 / 512, np.float32))
    assert not has_integers(whole, neurons=MultiThreshold((0.7, 0.1)))
    assert has_integers(whole, neurons=MultiThreshold(tuple(2.0**-k for k in range(8))))


def test_sums_that_float32_would_round(integers):
    """255 quanta times 127, summed up over more than 518 inputs, is more than 2**24."""
    integers("portable")
    ladder = MultiThreshold(tuple(2.0**-k for k in range(8)))
    assert has_integers(np.full((1, 518, 1, 1), 127, np.float32), neurons=ladder)
    assert not has_integers(np.full((1, 519, 1, 1), 127, np.float32), neurons=ladder)
    mixed = np.full((1, 1036, 1, 1), 127, np.float32)
    mixed[:, ::2] *= -1
    assert has_integers(mixed, neurons=ladder)
    assert not has_integers(mixed, np.full(1, 2.0**18, np.float32), neurons=ladder)


@pytest.mark.parametrize(
    ("model", "quantum"),
    [
        (LADDER, 0.25),
        (UNEVEN, 0.25),
        (MultiThreshold((3.0, 0.75)), 0.75),
        (IntegrateAndFire(1.0), 1.0),
        (MultiThreshold((0.6, 0.3)), None),
        (MultiThreshold((64.0, 0.125)), None),
    ],
)
def test_quantum(model, quantum):
    """A unit of which the values of all levels are multiples; a power of two, so 3/4 is three of 1/4."""
    expected = 0.25 if quantum == 0.75 else quantum
    assert integer_plan.integer_quanta([level_table(model)]) == expected


# --- Kernels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vectors", [1, 2])
@given(data=st.data())
def test_sums_of_products(kind, vectors, data):
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
    begins, place, segments, expected = (64, 1024), 0, [], np.zeros((2, dot.GROUP, vectors, dot.LANES), np.int64)
    for number, count in zip(quads, chunks, strict=True):
        weights[place + count - 1, :, (number - 1) % 16 + 1 :] = 0
        offset = 4 * int(generator.integers(0, 64))
        segments.append((offset, number, place * vectors * dot.CHUNK_BYTES))
        part = weights[place : place + count].transpose(0, 2, 4, 1, 3).reshape(-1, vectors, 16)
        for group, pixel in np.ndindex(2, dot.GROUP):
            levels = planes[begins[group] + pixel * stride + offset :][: len(part)].astype(np.int64)
            expected[group, pixel] += np.tensordot(levels, part, 1)
        place += count
    sums = np.full(expected.size, 7, np.int32)
    run_groups(
        dot.dot_token(kind, vectors), np.array(segments, np.int64), planes, begins, stride,
        weights.astype(np.int8).reshape(-1), sums, dot.tile_configuration(),
    )  # fmt: skip
    np.testing.assert_array_equal(sums.reshape(expected.shape), expected)


@compiled_bare
def run_groups(token, segments, planes, begins, stride, weights, sums, tiles):
    if len(token[0]) == 3:
        dot.load_configuration(tiles)
    dot.add_groups(token, segments, (0, len(segments)), planes, begins, stride, weights, 0, sums, 0)
    if len(token[0]) == 3:
        dot.release_tiles()
