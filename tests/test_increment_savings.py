"""What a stream by increments says that it has saved."""

from __future__ import annotations

import numpy as np
import pytest
from still_camera import LADDER, clip, network, weight

from spikeunet.engine import Concat, Conv2d, MultiThreshold, Network, Neurons, Output, Stream, simulate
from spikeunet.engine.increments import incremental_run
from spikeunet.engine.operations.exact import total


def read_twice():
    """A network with two convolutions, one of the picture and one of spikes, that two layers of neurons read."""
    first, *others = network().nodes
    convolution, neurons, second, *_ = others
    last = Conv2d("last", "all", weight(np.random.default_rng(1), 3, 16 + 12 + 12, 1, 1))
    coarse = MultiThreshold(tuple(2.0**-k for k in range(3)))
    return Network(
        [
            first,
            convolution,
            neurons,
            Neurons("coarse", "conv1", coarse),
            second,
            Neurons("relu2", "conv2", LADDER),
            Neurons("coarse2", "conv2", coarse),
            Concat("all", ("coarse", "relu2", "coarse2")),
            last,
            Output("output", "last"),
        ]
    )


@pytest.mark.parametrize("most_changed", [1.0, 0.0], ids=["by increments", "in full"])
def test_a_convolution_that_two_layers_read_is_counted_once(monkeypatch, most_changed):
    monkeypatch.setattr(incremental_run, "MOST_CHANGED", most_changed)
    stream = Stream(read_twice(), threads=1, exact_increments=True)
    full = 0
    for number, picture in enumerate(clip(0, 4)):
        stream.push(picture)
        ledger = simulate(stream.network, picture, 1, threads=1).operations
        full += sum(total(node.synops) + node.macs for node in ledger.synapses.values())
        assert stream.savings.full == full
        if number == 0:
            assert stream.savings.done == full
        assert stream.savings.done <= full
