"""The adders that count many levels at once, around the sizes at which they pass them on."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine.kernels.arguments import InputRows
from spikeunet.engine.kernels.bit_counts import GROUP, MOST_GROUPS
from spikeunet.engine.kernels.count import count_levels, count_uneven_rows
from spikeunet.engine.kernels.tables import FanTables

MOST = GROUP * MOST_GROUPS

pytestmark = pytest.mark.timeout(300)


def expected(levels, thresholds):
    """(1 + thresholds, 8) int64, by counting bytes."""
    by_step = levels.view(np.uint8).reshape(-1, 8)
    return np.stack([(by_step > 0).sum(axis=0), *((by_step >> k & 1).sum(axis=0) for k in range(thresholds))])


@pytest.mark.parametrize("thresholds", [1, 5, 7, 8])
@pytest.mark.parametrize("size", [0, 1, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 5, MOST - 1, MOST, MOST + 1, 2 * MOST])
def test_random_levels(size, thresholds):
    random = np.random.default_rng(size)
    levels = random.integers(0, 1 << thresholds, (size, 8)).astype(np.uint8)
    levels[random.random(levels.shape) < 0.4] = 0
    words = levels.reshape(-1).view(np.uint64)
    counts = np.full((9, 8), 7)
    count_levels(words, thresholds, counts)
    np.testing.assert_array_equal(counts[: 1 + thresholds], 7 + expected(words, thresholds))
    np.testing.assert_array_equal(counts[1 + thresholds :], 7)


@pytest.mark.parametrize("size", [MOST - 1, MOST, 2 * MOST + 254, 2 * MOST + 255])
def test_all_bits_set(size):
    """The fullest that the byte counters and the sums of 16 bits can get."""
    counts = np.zeros((9, 8), np.int64)
    count_levels(np.full(size, ~np.uint64(0)), 8, counts)
    np.testing.assert_array_equal(counts, size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64])
@pytest.mark.parametrize("entries", [0, 1, 85, 127, 128, 255, 256, 600])
def test_borders_of_many_events(entries, dtype):
    """Each pixel of a border has so many entries: sums of a byte run over within a row, and from row to row."""
    height, width = 6, 4
    start = np.arange(height)[:, None] * width * entries + np.arange(width + 1) * entries
    levels = np.full(height * width * entries, 3, dtype)
    fan = np.array([2, *([3] * (height - 2)), 2]), np.array([2, 3, 3, 2])
    counts = np.zeros((3, 8), np.int64)
    count_uneven_rows(start, levels, InputRows(1, height), FanTables(*fan, 3, 3), 2, counts)
    excess = int((np.outer(*fan) - 9)[1:].sum()) * entries
    np.testing.assert_array_equal(counts[:, 0], excess)
    np.testing.assert_array_equal(counts[:, 1:], 0)
