"""A few random networks against the simulation of random_graphs.py, which also says how to try thousands."""

from __future__ import annotations

import numpy as np
import pytest
import random_graphs
from scipy import sparse

from spikeunet.engine import Conv2d


@pytest.mark.parametrize("index", range(6))
def test_a_random_network(index):
    """Spikes, potentials, readouts and counts; both orders, several threads, and tiles."""
    assert random_graphs.check_graph(0, index) > 0


def test_a_number_that_differs_is_found():
    """The comparison itself can fail: in a spike, a potential and a count."""
    graph = random_graphs.Drawer([0, 1]).graph()
    expected = random_graphs.expected_of(graph)
    for kind in ("spikes", "membrane", "synops", "binary", "kinds", "readout"):
        name = next(name for name in expected if name.startswith(kind))
        changed = {**expected, name: np.asarray(expected[name]) + (np.indices(np.shape(expected[name])).sum(0) == 0)}
        with pytest.raises(AssertionError, match=name):
            random_graphs.compare(changed, expected, "here")
    with pytest.raises(AssertionError, match="readout"):
        random_graphs.compare({name: expected[name] for name in expected if name != "readout"}, expected, "here")


def test_a_convolution_by_hand():
    """Kernel (1, 2) with stride 2 and padding 1: [0 1], [2 3] and [4 0] are read."""
    node = Conv2d("conv", "in", np.float32([1, 10]).reshape(1, 1, 1, 2), np.float32([0.5]), (1, 2), (0, 1))
    layer = random_graphs.connections(node, (1, 1, 4))
    assert sparse.issparse(layer.matrix)
    assert layer.matrix.toarray().tolist() == [[10, 0, 0, 0], [0, 1, 10, 0], [0, 0, 0, 1]]
    assert layer.products.toarray().tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    assert (layer.bias.tolist(), layer.shape, layer.dense_macs) == ([0.5] * 3, (1, 1, 3), 6)
