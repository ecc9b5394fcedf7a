"""Every way in which the engine can run a layer gives the same bits, on weights whose sums are rounded."""

from __future__ import annotations

import numpy as np
import pytest

from spikeunet.engine import Concat, Conv2d, ConvTranspose2d, Input, MultiThreshold, Network, Neurons, Output, simulate
from spikeunet.engine.build import layers
from spikeunet.engine.simulation import band_run, layer_run
from spikeunet.engine.testing.comparison import RECORDS, assert_same

pytestmark = pytest.mark.timeout(900)  # kernels are compiled


def network():
    """Windows of three pixels and of two, a transposed convolution, a stride, two sources, blocks that are not full."""
    generator = np.random.default_rng(3)
    neurons = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)

    def weight(*shape):
        return (generator.standard_normal(shape) * 0.3).astype(np.float32)

    return Network(
        [
            Input("input", 2),
            Conv2d("conv1", "input", weight(40, 2, 3, 3), padding=1),
            Neurons("relu1", "conv1", neurons),
            Conv2d("conv2", "relu1", weight(70, 40, 3, 3), stride=2, padding=1),
            Neurons("relu2", "conv2", neurons),
            ConvTranspose2d("up", "relu2", weight(70, 20, 2, 2), stride=2),
            Neurons("relu3", "up", neurons),
            Conv2d("narrow", "relu1", weight(20, 40, 2, 2), padding=1),
            Neurons("relu4", "narrow", neurons),
            Conv2d("cut", "relu4", weight(20, 20, 2, 2)),
            Neurons("relu5", "cut", neurons),
            Concat("concat", ("relu3", "relu5")),
            Conv2d("readout", "concat", weight(3, 40, 3, 3), padding=1),
            Output("output", "readout"),
        ]
    )


@pytest.fixture(scope="module")
def picture():
    """(C, H, W), about a third of the first neurons fire."""
    return np.random.default_rng(4).random((2, 12, 14), np.float32)


@pytest.mark.parametrize(("accumulators", "steps"), [(1, 1), (3, 1), (1, 2), (8, 8), (3, 4)])
def test_windows_and_vectors(accumulators, steps, picture, monkeypatch):
    """Fewer registers: a window of one pixel, blocks of fewer vectors."""
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    program = layers.build_program(network(), picture.shape)
    tokens = [layer.token(steps) for layer in program.layers]
    monkeypatch.setattr(layers, "host_accumulators", lambda: accumulators)
    assert [layer.token(steps) for layer in program.layers] != tokens
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_compaction_without_compressed_stores(steps, picture, monkeypatch):
    expected = simulate(network(), picture, steps, threads=1, record=RECORDS)
    monkeypatch.setattr(band_run, "_COMPRESSES", None)
    assert_same(simulate(network(), picture, steps, threads=1, record=RECORDS), expected)


def test_bands_of_one_row(picture, monkeypatch):
    expected = simulate(network(), picture, 2, threads=1, record=RECORDS)
    monkeypatch.setattr(layer_run, "_BAND_BYTES", 1)
    monkeypatch.setattr(layer_run, "_MANY_WEIGHTS", 1)
    assert_same(simulate(network(), picture, 2, threads=1, record=RECORDS), expected)
