"""Layers that read many sources: the same spikes and counts as the reference, and no kernel for each number of them."""

from __future__ import annotations

import gc
import weakref

import numba
import numpy as np
import pytest

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    MultiThreshold,
    Network,
    Neurons,
    Output,
    simulate,
)
from spikeunet.engine.binding import allowed_kernels, build_program
from spikeunet.engine.kernels import (
    decode,
    dot_band,
    finish,
    fours,
    gather,
    gather_in_step,
    planes,
    pooling,
    sequence,
)
from spikeunet.engine.kernels.entries import host_compresses
from spikeunet.engine.kernels.sources import packed_sources, source_table
from spikeunet.engine.simulation.bands.bound_program import _shelf
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_operations

pytestmark = pytest.mark.timeout(900)  # whichever test comes first compiles the kernels, a minute or more

CHANNELS = 3
LADDER = MultiThreshold((1.0, 0.5, 0.25))
FLAT = {number: [Concat("all", tuple(f"n{index % 4}" for index in range(number)))] for number in (3, 5, 12, 40)}
JOINS = FLAT | {
    "the same twice": [Concat("all", ("n0", "n0"))],
    "nested": [Concat("a", ("n0", "n1")), Concat("b", ("a", "n2", "a")), Concat("all", ("b", "n3", "b", "b"))],
    "doubled": [Concat("a", ("n0", "n1")), Concat("b", ("a", "a")), Concat("c", ("b", "b")), Concat("all", ("c", "c"))],
}


def weight(generator, *shape):
    """Integers of 8 bits times a power of two; some of them 0."""
    numbers = generator.integers(-127, 128, shape) * (generator.random(shape) < 0.8)
    return (numbers * 2.0**-9).astype(np.float32)


def joined(joins, analog=False, channels=CHANNELS):
    """Four layers, joined as it is said, and a convolution, a pool and a transposed convolution that read that."""
    generator = np.random.default_rng(1)
    nodes = [Input("input", 1)]
    for index in range(4):
        first = weight(generator, channels, 1, 3, 3) * 8
        nodes += [Conv2d(f"c{index}", "input", first, padding=1), Neurons(f"n{index}", f"c{index}", LADDER)]
    nodes += joins
    source = "all"
    if analog:
        nodes.append(Concat("more", ("all", "input")))
        source = "more"
    total = Network([*nodes, AvgPool2d("p", source), Output("o", "p")]).shapes((1, 2, 2))[source][0]
    nodes += [
        Conv2d("conv", source, weight(generator, 16, total, 3, 3), padding=1),
        Neurons("convolved", "conv", LADDER),
        AvgPool2d("pool", source),
        Neurons("pooled", "pool", LADDER),
        ConvTranspose2d("up", "pooled", weight(generator, total, 16, 2, 2), stride=2),
        Neurons("upwards", "up", LADDER),
        Concat("last", ("convolved", "upwards", "convolved")),
        Conv2d("out", "last", weight(generator, 1, 48, 1, 1)),
        Output("output", "out"),
    ]
    return Network(nodes)


def picture():
    return (np.random.default_rng(2).integers(0, 65, (1, 6, 8)) / 32).astype(np.float32)


def assert_same_as_the_reference(network, steps, threads=1, kernels="auto"):
    expected = reference.simulate(network, picture(), steps)
    for _ in range(2):
        found = simulate(network, picture(), steps, threads=threads, kernels=kernels)
        np.testing.assert_array_equal(found.output, expected.output)
        assert_same_operations(found.operations, expected.operations)
    assert expected.operations.totals["events"] > 0


@pytest.mark.parametrize(
    ("steps", "kernels"),
    [(1, "auto"), (1, "events"), (2, "auto"), (2, "events"), pytest.param(8, "auto", marks=pytest.mark.slow)],
)
def test_same_as_the_reference(steps, kernels):
    for joins in JOINS.values():
        network = joined(joins)
        assert_same_as_the_reference(network, steps, kernels=kernels)
        if kernels == "auto" and allowed_kernels().integers and host_compresses():
            assert len(_shelf(build_program(network, picture().shape))) == 1


@pytest.mark.parametrize("joins", [5, "nested"])
def test_joined_with_the_picture(joins):
    assert_same_as_the_reference(joined(JOINS[joins], analog=True), 1, kernels="events")


def test_threads():
    assert_same_as_the_reference(joined(JOINS[12]), 1, threads=2)


def test_no_kernel_is_compiled_for_a_number_of_sources():
    kernels = (
        decode.decode_rows, dot_band.dot_band, finish.finish_band, gather.gather_band,
        gather_in_step.gather_in_step, pooling.pool_planes,
        planes.fill_planes, planes.count_zeros_of_planes, fours.find_fours, sequence.count_uneven_sources,
        sequence.run_layers,
    )  # fmt: skip

    def compiled():
        return [len(kernel.signatures) for kernel in kernels]

    def run(number):
        network = joined([Concat("all", tuple(f"n{index % 4}" for index in range(number)))])
        simulate(network, picture(), 1, threads=1)
        simulate(network, picture(), 1, threads=1, kernels="events")

    for number in (3, 7):  # two numbers of channels, which fill one vector of the compaction or two
        run(number)
    before = compiled()
    for number in (4, 5, 33):
        run(number)
    assert compiled() == before


def test_sources_of_a_table_are_of_one_type():
    array = np.zeros(3, np.int64)
    assert packed_sources(((array, 1), (array, 2))) == ((array, 1), (array, 2))
    for number, pack in ((3, packed_sources), (1, source_table)):
        first, table = pack(((array, 1),) * number)
        assert first == (array, 1)
        assert table.shape == (number, 8)
    assert numba.typeof(source_table(((array, 1),))) == numba.typeof(packed_sources(((array, 1),) * 3))
    for other in ((array.astype(np.int32), 1), (array[::2], 1), (array, np.float32(1))):
        with pytest.raises(TypeError, match="of the same types"):
            packed_sources(((array, 1), (array, 1), other))


def test_a_table_keeps_what_it_refers_to():
    """What is packed may have been made just for that."""
    arrays = [np.arange(4.0) + number for number in range(3)]
    known = [weakref.ref(array) for array in arrays]
    packed = packed_sources(tuple((array, 1) for array in arrays))
    del arrays
    gc.collect()
    assert all(each() is not None for each in known)
    del packed
    gc.collect()
    assert not any(each() is not None for each in known)


@pytest.mark.slow
def test_sources_of_narrow_and_wide_channel_numbers():
    """Those that are narrow are made wide for the time that they are read."""
    generator, many = np.random.default_rng(3), (1 << 16) + 1
    few = many // 2
    net = Network(
        [
            Input("input", 1),
            *(
                Conv2d(f"c{k}", "input", weight(generator, size, 1, 1, 1) * 8)
                for k, size in enumerate((few, many, few))
            ),
            *(Neurons(f"n{k}", f"c{k}", LADDER) for k in range(3)),
            Concat("all", ("n0", "n1", "n2")),
            Conv2d("out", "all", weight(generator, 1, 2 * few + many, 1, 1)),
            Output("output", "out"),
        ]
    )
    pixels = np.full((1, 1, 1), 1.5, np.float32)
    expected = reference.simulate(net, pixels, 1)
    assert expected.events["n2"].sum() > 1000
    found = simulate(net, pixels, 1, threads=1, kernels="events")
    np.testing.assert_array_equal(found.output, expected.output)
    assert_same_operations(found.operations, expected.operations)
