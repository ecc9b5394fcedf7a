"""Two events at a time with weights of 16 bits, as processors with AVX2 compute: the same bits as in float32."""

from __future__ import annotations

import numpy as np
import pytest
import test_fours
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeunet.engine import Conv2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.binding import integer_plan, kernel_choice
from spikeunet.engine.kernels import window_block
from spikeunet.engine.kernels.entries import host_packs
from spikeunet.engine.kernels.pairs import for_pairs
from spikeunet.engine.kernels.processor import host_lanes
from spikeunet.engine.testing import strategies
from spikeunet.engine.testing.comparison import RECORDS, assert_same, assert_same_array, assert_same_operations

pytestmark = [
    pytest.mark.skipif(not host_packs(), reason="this processor has no AVX2"),
    pytest.mark.timeout(900),  # kernels are compiled
]

PAIRS = "event-integers"


@pytest.fixture(autouse=True, scope="module")
def in_pairs():
    """This processor as one that has no wider instructions, with as few registers."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (kernel_choice, integer_plan):
            patch.setattr(module, "host_pairs", lambda: True)
        patch.setattr(window_block, "host_accumulators", lambda: 12 * 8 // host_lanes())
        yield


def test_the_order_of_weights():
    """The lower numbers of each 128 bits of two rows, one after the other, are the channels 0 to 7."""
    kernel = np.arange(32, dtype=np.int8)[None]
    found = for_pairs(kernel)
    assert found.dtype == np.int16
    lanes = found.reshape(2, 2, 8)
    np.testing.assert_array_equal(lanes[:, :, :4].reshape(2, 8), [np.arange(8), np.arange(16, 24)])
    np.testing.assert_array_equal(lanes[:, :, 4:].reshape(2, 8), [np.arange(8, 16), np.arange(24, 32)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("steps", [1, 8, *(pytest.param(each, marks=pytest.mark.slow) for each in (2, 3, 4))])
def test_same_bits(steps, threads):
    """Windows, strides, a transposed convolution, two sources, channels that fill no vector."""
    picture = np.round(np.random.default_rng(4).random((2, 10, 14)) * 64).astype(np.float32) / 32
    expected = simulate(test_fours.network(), picture, steps, threads=1, kernels="events", record=RECORDS)
    net = test_fours.network()
    assert_same(simulate(net, picture, steps, threads=threads, kernels=PAIRS, record=RECORDS), expected)
    plain = simulate(net, picture, steps, threads=threads, kernels=PAIRS)
    assert plain.kernels["relu2"] == (PAIRS,)
    assert_same_array(plain.output, expected.output, "output")
    assert_same_operations(plain.operations, expected.operations)
    assert all(expected.spikes[name].any() for name in expected.spikes)


@pytest.mark.parametrize("events", range(1, 10))
def test_every_number_of_events(events):
    """The largest weights and levels, of as many events as four at a time leave over."""
    ladder = MultiThreshold(tuple(2.0**power for power in range(7, -1, -1)))
    generator = np.random.default_rng(events)
    weight = (generator.choice([-127, 127], (20, 9, 1, 1)) / 256).astype(np.float32)
    nodes = [
        Input("input", 9),
        Conv2d("conv1", "input", np.eye(9, dtype=np.float32)[:, :, None, None]),
        Neurons("relu1", "conv1", ladder),
        Conv2d("conv2", "relu1", weight),
        Output("output", "conv2"),
    ]
    picture = np.zeros((9, 1, 3), np.float32)
    picture[:events] = 256
    found = simulate(Network(nodes), picture, 1, kernels=PAIRS)
    assert found.kernels["output"] == (PAIRS,)
    expected = 255 * weight[:, :events, 0, 0].sum(axis=1)
    np.testing.assert_array_equal(found.output, np.repeat(expected[:, None, None], 3, axis=2))


@pytest.mark.slow
@settings(max_examples=25)
@given(
    case=strategies.cases(strategies.ladder_models(), every_kernel=True, delays=False),
    tile=st.integers(1, 20),
)
def test_many_random_networks(case, tile):
    expected = simulate(case.network, case.picture, case.steps, threads=1, kernels="events", record=RECORDS)
    found = simulate(case.network, case.picture, case.steps, threads=2, kernels=PAIRS, record=RECORDS, tile=tile)
    assert_same(found, expected)
