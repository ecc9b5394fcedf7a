"""How a layer's rows are cut into bands."""

from __future__ import annotations

import itertools

import pytest

from spikeunet.engine.simulation.bands.band_rows import bands_of


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(("most", "least"), [(1, 1), (9, 4), (1000, 4), (1000, 1000)])
@pytest.mark.parametrize("height", [1, 16, 37, 256])
def test_bands_are_all_rows(height, most, least, threads):
    bands = bands_of(height, most, least, threads)
    assert [row for first, end in bands.rows for row in range(first, end)] == list(range(height))
    assert (bands.shares[0], bands.shares[-1], len(bands.shares)) == (0, len(bands.rows), threads + 1)
    for begin, end in itertools.pairwise(bands.shares):
        sizes = [last - first for first, last in bands.rows[begin:end]]
        assert max(sizes, default=0) <= most
        assert sorted(sizes, reverse=True) == sizes
        assert min(sizes[:-1], default=least) >= min(least, most)
        assert height // threads <= sum(sizes) <= height // threads + 1


def test_the_last_bands_are_small():
    """So no thread has to wait long for another."""
    bands = bands_of(256, 256, 8, 2)
    sizes = [end - first for first, end in bands.rows]
    assert bands.shares == (0, 5, 10)
    assert sizes == [64, 32, 16, 8, 8] * 2
