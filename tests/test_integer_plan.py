"""Tables of the dot kernels: what they read lies in the planes, each input row is counted once, and sums are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeunet.engine import Conv2d, ConvTranspose2d, IntegrateAndFire, MultiThreshold
from spikeunet.engine.binding.integer_plan import (
    integer_quanta,
    integer_terms,
    integer_weights,
    is_exact,
    make_integer_plan,
    pack_integers,
    pooled_levels,
)
from spikeunet.engine.binding.layer import Source
from spikeunet.engine.kernels.dot import CHUNK_LEVELS, GROUP, LANES
from spikeunet.engine.kernels.planes import PLANE_GAP
from spikeunet.engine.neurons import LevelTable, level_table
from spikeunet.engine.simulation.bands.band_rows import bands_of
from spikeunet.engine.simulation.currents.plane_products import counted_rows
from spikeunet.engine.testing import strategies
from spikeunet.engine.testing.strategies import Numbers

SHAPES = st.tuples(st.sampled_from((1, 3, 4, 33)), st.integers(1, 12), st.integers(1, 40))
VALUES = Numbers(np.random.default_rng(0), dyadic=True, density=1.0)
GEOMETRIES = ("conv2d", "conv_transpose2d")


def draw_plan(data):
    """A node, its plan, the shapes of input and output, and bands."""
    shape = data.draw(SHAPES)
    kind = data.draw(st.sampled_from(GEOMETRIES))
    node = data.draw(strategies.SYNAPSES[kind]("node", "source", shape, VALUES))
    outgoing = node.output_shape(shape)
    rows, columns = node.axes(shape)
    few = outgoing[0] if outgoing[0] <= 4 and data.draw(st.booleans()) else 0
    plan = make_integer_plan(rows, columns, shape, outgoing, -(-outgoing[0] // LANES) * LANES, few)
    return node, plan, shape, outgoing, data.draw(st.integers(1, 4))


def band_rows(plan, bands, height):
    return counted_rows(plan, bands, height).tolist()


@given(data=st.data())
def test_reads_stay_in_the_planes(data):
    """Of the first and the last pixel of the first and the last group, in tiles, which are read as whole chunks."""
    _, plan, shape, outgoing, most = draw_plan(data)
    bands = bands_of(outgoing[1], most, 1, 2).rows
    output_y, output_x, step_y, step_x, _ = plan.tables.geometry
    edge, row_bytes, pixel_bytes = plan.tables.layout
    for (first, last), (low, high, *_) in zip(bands, band_rows(plan, bands, shape[1]), strict=True):
        size = (high - low) * row_bytes
        assert plan.plane_bytes(high - low, 1) == size + PLANE_GAP
        for first_y, first_x, begin, end, _, _ in plan.tables.phases.tolist():
            pixels = len(range(first_x, outgoing[2], output_x))
            for y in range(first, last):
                if y < first_y or (y - first_y) % output_y or not pixels:
                    continue
                row = ((y - first_y) // output_y * step_y - low) * row_bytes + edge
                last_pixel = -(-pixels // GROUP) * GROUP - 1
                for offset, quads, _ in plan.tables.segments[begin:end].tolist():
                    assert row + offset >= 0
                    place = row + last_pixel * step_x * pixel_bytes + offset
                    assert place + 4 * quads <= size
                    assert place + -(-4 * quads // CHUNK_LEVELS) * CHUNK_LEVELS <= size + PLANE_GAP


@given(data=st.data())
def test_each_row_that_is_read_is_counted_once(data):
    """By a band that spreads it out."""
    _, plan, shape, outgoing, most = draw_plan(data)
    check_counted_rows(plan, shape[1], outgoing[1], bands_of(outgoing[1], most, 1, 2).rows)


def check_counted_rows(plan, height, out_height, bands):
    rows = plan.rows
    places = [
        output * rows.input_step + offset
        for phase in rows.phases
        for output in range(len(range(phase.first, out_height, rows.output_step)))
        for offset in phase.offsets
    ]
    counted = np.zeros(height, int)
    for (first, last), (low, high, begin, end) in zip(bands, band_rows(plan, bands, height), strict=True):
        assert begin == end or low <= begin < end <= high
        reads = plan.rows.inputs(first, last)
        assert reads[0] == reads[1] or low <= reads[0] < reads[1] <= high
        counted[begin:end] += 1
    assert counted.max() <= 1
    assert (counted[[place for place in places if 0 <= place < height]] == 1).all()


@pytest.mark.parametrize(
    ("size", "stride", "padding", "extra", "dilation"),
    [(2, 2, 0, 0, 2), (3, 3, 2, 2, 3), (2, 2, 1, 2, 3), (1, 3, 0, 0, 1)],
    ids=["nothing between taps", "each third row", "begins above the band before", "single taps"],
)
def test_rows_that_are_counted_between_the_taps_of_a_transposed_convolution(size, stride, padding, extra, dilation):
    weight = np.ones((4, 1, size, 1), np.float32)
    node = ConvTranspose2d("up", "source", weight, None, (stride, 1), (padding, 0), (extra, 0), (dilation, 1))
    out = node.output_shape((4, 9, 5))
    plan = make_integer_plan(*node.axes((4, 9, 5)), (4, 9, 5), out, LANES)
    check_counted_rows(plan, 9, out[1], tuple((row, row + 1) for row in range(out[1])))


@given(data=st.data())
def test_packed_weights(data):
    """Each quad of a segment's levels meets the weights of its kernel columns and channels."""
    node, plan, shape, outgoing, _ = draw_plan(data)
    kernel = np.random.default_rng(1).integers(-127, 128, (*node.weight.shape[2:], shape[0], outgoing[0]), np.int8)
    packed, width = pack_integers(kernel, plan), LANES * plan.vectors
    channels = plan.tables.layout.pixel_bytes
    for _, _, first, last, base, block_bytes in plan.tables.phases.tolist():
        for segment in range(first, last):
            (_, quads, begin), (row, columns) = plan.tables.segments[segment].item(), plan.taps[segment]
            levels = [kernel[row, column, channel] for column in columns for channel in range(shape[0])]
            expected = np.zeros((len(columns), channels, plan.padded), np.int8)
            expected[:, : shape[0], : outgoing[0]] = np.reshape(levels, (len(columns), shape[0], -1))
            expected = expected.reshape(4 * quads, plan.padded)
            for level, output in ((0, 0), (4 * quads - 1, outgoing[0] - 1), (4 * quads // 2, outgoing[0] // 2)):
                block, lane = output // width, output % width
                chunk, inside = level // CHUNK_LEVELS, level % CHUNK_LEVELS
                place = base + block * block_bytes + begin
                if plan.few:
                    place += (chunk * plan.few + output) * CHUNK_LEVELS + inside
                else:
                    place += (chunk * plan.vectors + lane // LANES) * 64 * LANES
                    place += inside // 4 * 64 + lane % LANES * 4 + inside % 4
                assert packed[place] == expected[level, output]


# --- Exact ----------------------------------------------------------------------------------------------------------


def exact(weight, bias, quantum=1.0, highest=255):
    """Of a single output channel."""
    node = Conv2d("conv", "source", np.asarray(weight, np.float32).reshape(1, -1, 1, 1), np.float32([bias]))
    weights = integer_weights(node, (node.in_channels, 1, 1))
    most = np.full(node.in_channels, highest, np.uint8)
    return weights is not None and is_exact(weights, node.bias, np.float32(quantum), most)


def test_a_tiny_bias_is_not_taken_for_a_zero():
    """2**-126 over a unit of 2**44 is less than float32 can say."""
    large = [2.0**50 * 127, -(2.0**50)]
    assert exact(large, 0.0)
    assert not exact(large, 2.0**-126)
    assert not exact(large, 2.0**-126, 2.0**20)


def test_weights_whose_sums_may_be_infinite():
    """Sums of 2**24 times units of weights and quanta must be finite: infinities do not add up in any order."""
    for exponent in (-50, 50):
        unit, further = 2.0**exponent, 2.0 ** (exponent + np.sign(exponent))
        assert exact([127 * unit], 0.0)
        assert not exact([127 * further], 0.0)
        assert integer_quanta([level_table(MultiThreshold((2 * unit, unit)))]) == unit
        assert integer_quanta([level_table(MultiThreshold((2 * further, further)))]) is None


def test_the_sign_that_reaches_further_counts():
    """With 255 quanta times 127: 518 inputs of a sign are 2**24 - 1586, so the bias may be that many units."""
    for sign in (1, -1):
        assert exact([sign * 127] * 518, 2.0**24 - 518 * 127 * 255)
        assert not exact([sign * 127] * 518, 2.0**24 - 518 * 127 * 255 + 1)
        assert not exact([sign * 127] * 519 + [-sign], 0.0)
    assert exact([127, -127] * 518, 0.0)


def test_levels_that_are_lower_reach_less_far():
    assert exact([127] * 519, 0.0, highest=254)
    assert not exact([127] * 529, 0.0, highest=254)
    assert exact([127] * 100_000, 0.0, highest=1)


def test_biases_that_are_no_numbers_of_units():
    assert not exact([1.0, 127.0], 0.3)
    assert exact([0.0, 0.0], 0.3)  # nothing is added


# --- Levels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "quantum"),
    [
        (MultiThreshold((1.0, 0.5, 0.25)), 0.25),
        (MultiThreshold((0.75, 0.25)), 0.25),
        (MultiThreshold((3.0, 0.75)), 0.75),
        (IntegrateAndFire(1.0), 1.0),
        (MultiThreshold((0.6, 0.3)), None),
        (MultiThreshold((64.0, 0.125)), None),
    ],
)
def test_quantum(model, quantum):
    """A unit of which the values of all levels are multiples; a power of two, so 3/4 is three of 1/4."""
    expected = 0.25 if quantum == 0.75 else quantum
    assert integer_quanta([level_table(model)]) == expected


def source(name, table, channels=1):
    return Source(name, channels, 0, table is None, table)


def test_which_means_are_sums_of_integers():
    """Over windows of a power of two of pixels: others are rounded when they are divided."""
    table = level_table(MultiThreshold((0.75, 0.25)))
    pooled = pooled_levels(8, [source("spikes", table)])
    assert pooled.scale == 0.25 / 8
    numbers, shift = pooled.quanta["spikes"]
    assert (numbers[:4].tolist(), shift) == ([0, 3, 1, 4], -1)
    for area in (3, 6, 9, 1 << 16):
        assert pooled_levels(area, [source("spikes", table)]) is None
    assert pooled_levels(4, [source("spikes", table), source("input", None)]) is None
    assert pooled_levels(4, [source("spikes", level_table(MultiThreshold((0.7, 0.1))))]) is None


@pytest.mark.parametrize(("emit", "counts"), [((0, 0, 1), False), ((0, 1, 1), True), ((0, 2, 0, 1), False)])
def test_levels_without_a_value(emit, counts):
    """They are silent in the planes, so that events cannot be counted there."""
    values = np.zeros(256, np.float32)
    values[: len(emit)] = emit
    table = LevelTable(values, np.ones(256, np.int64), tuple(emit[1:]), masks=False)
    node = Conv2d("conv", "source", np.ones((16, 3, 1, 1), np.float32))
    terms = integer_terms(node, (3, 2, 2), [source("source", table, 3)], 16)
    assert terms.every_level_counts is counts
