"""Fine-tuning leaves zeros that conversion has put into weights alone: the artificial network has none of them."""

from __future__ import annotations

import numpy as np
import pytest
from test_file_weights import CONSTANTS, FIRST, GRAPHS, LAST, PICTURE

from spikeunet.converters import convert
from spikeunet.engine import InputError, simulate
from spikeunet.engine.learning.finetune import Settings, Trainable, Trainer


class Noisy:
    """Pictures that the network is far from putting out."""

    def __init__(self, outputs):
        self.shape = outputs

    def draw(self, generator):
        return (
            generator.random((2, 8, 8, 2), np.float32),
            generator.random((2, *self.shape[1:], self.shape[0]), np.float32),
        )


def converted(path, name):
    pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    from onnx_graphs import model, saved

    arrays = {
        key: np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
        for key, (shape, seed) in CONSTANTS.items()
    }
    arrays |= {"five": np.array([1, 2, 2, 8, 8]), "four": np.array([1, 4, 8, 8]), "six": np.float32(6)}
    nodes = [FIRST, *GRAPHS[name], LAST]
    read = {each for _, reads, _, _ in nodes for each in reads}
    made = model(nodes, {key: array for key, array in arrays.items() if key in read}, shape=(1, 2, 8, 8))
    return convert(saved(path / "model.onnx", made), calibration=[PICTURE])


def macs(network):
    return simulate(network, PICTURE, 1).operations.totals["dense_macs"]


@pytest.mark.parametrize("method", ["flow", "bptt"])
@pytest.mark.parametrize("name", ["a shuffle", "uneven zeros", "a shift before padding"])
def test_zeros_of_conversion_stay(tmp_path, name, method):
    network = converted(tmp_path, name)
    layers = network.metadata["file_weights"]
    zeros = {node: network[node].weight == 0 for node in layers}
    assert any(mask.any() for mask in zeros.values())
    outputs = simulate(network, PICTURE, 1).output.shape
    settings = Settings(steps=2, iterations=6, rate=0.05, method=method, scales="channel", weight_decay=0.1)
    trainer = Trainer(network, Noisy(outputs), settings)
    for _ in range(6):
        trainer.step()
    tuned = trainer.result()
    assert macs(tuned) == macs(network)
    for node, mask in zeros.items():
        np.testing.assert_array_equal(tuned[node].weight[mask], 0)
    trained = [node.name for node in network.nodes if hasattr(node, "weight") and node.weight.any()]
    assert all((tuned[node].weight != network[node].weight).any() for node in trained)


def test_a_layer_that_stood_there_twice_is_another_one_once_it_is_trained(tmp_path):
    network = converted(tmp_path, "a ReLU")
    size = network["conv0"].weight.size
    network = network.replace(metadata={**network.metadata, "file_weights": {"conv0": [0, size]}})
    assert macs(network) == 4 * 64
    for weights, counted in ((False, 4 * 64), (True, 4 * 64 + size * 64)):
        trainer = Trainer(network, Noisy((1, 8, 8)), Settings(steps=1, iterations=1, rate=0.01, weights=weights))
        trainer.step()
        assert macs(trainer.result()) == counted


def test_metadata_that_say_something_else(tmp_path):
    network = converted(tmp_path, "a ReLU")
    with pytest.raises(InputError, match="file_weights must give two whole numbers for each layer"):
        Trainable(network.replace(metadata={"file_weights": "conv0"}))
