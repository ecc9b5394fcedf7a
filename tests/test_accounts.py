"""What is counted is the same wherever it is shown: by Python, by the commands and by the models of energy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spikeunet.engine import (
    ENERGY_MODELS,
    Attention,
    AvgPool2d,
    Conv2d,
    Input,
    IntegrateAndFire,
    Linear,
    Network,
    Neurons,
    Output,
    save_model,
    simulate,
    write_picture,
)
from spikeunet.engine.command_line import main
from spikeunet.engine.operations.charges import dense_charges
from spikeunet.engine.testing import reference
from spikeunet.engine.testing.comparison import assert_same_operations

HALF = IntegrateAndFire(0.5)
PICTURE = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)


def weights(*shape):
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32) / 4


@pytest.fixture
def printed(capsys):
    """Run a command and return what it printed as JSON; the exit status must be 0."""

    def invoke(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([*map(str, arguments)])
        out = capsys.readouterr().out
        assert stop.value.code == 0
        return out

    return invoke


# --- Products of an attention ----------------------------------------------------------------------------------------


def attentive():
    """A classifier of three classes with an attention of two heads, of three channels each."""
    nodes = [
        Input("picture", 3),
        Conv2d("qkv", "picture", weights(18, 3, 1, 1), np.full(18, 0.25)),
        Neurons("fired", "qkv", HALF),
        Attention("attention", "fired", heads=2),
        Neurons("attended", "attention", HALF),
        Linear("classes", "attended", weights(3, 6 * 16), np.full(3, 0.25)),
        Output("output", "classes"),
    ]
    return Network(nodes, {"task": "classify", "steps": 2})


def test_the_artificial_networks_attention_counts_everywhere(tmp_path, printed):
    network = attentive()
    expected = {"qkv": 54 * 16, "attention": 2 * 16 * 6 * 3, "classes": 18 * 16}
    macs = sum(expected.values())
    picture = np.ascontiguousarray(PICTURE.transpose(2, 0, 1)).astype(np.float32) / 256
    result = simulate(network, picture, 2)
    assert result.dense_macs == expected
    assert result.operations.totals["dense_macs"] == macs
    other = reference.simulate(network, picture, 2)
    assert other.dense_macs == expected
    assert_same_operations(result.operations, other.operations)
    for name, model in ENERGY_MODELS.items():
        if model.multiply_accumulate is not None and model.memory is None:
            assert result.operations.energy(name).dense == pytest.approx(model.joules(0, macs)), name
    save_model(network, tmp_path / "model.npz")
    write_picture(tmp_path / "picture.png", PICTURE)
    (entry,) = json.loads(printed("classify", tmp_path / "model.npz", tmp_path / "picture.png", "--json"))["pictures"]
    assert entry["dense_macs"] == macs
    assert {name: node["dense_macs"] for name, node in entry["synapses"].items()} == expected
    assert entry["dense_energy_joules"] == pytest.approx(macs * 4.6e-12)
    found = json.loads(printed("info", tmp_path / "model.npz", "--shape", "4x4", "--json"))
    assert found["dense_macs"] == macs


def test_what_an_attention_reads_in_the_artificial_network():
    """Two activations for each product, and no weight."""
    ledger = simulate(attentive(), np.ones((3, 4, 4), np.float32), 1).operations
    charges = list(dense_charges(ledger))
    weights_read = sum(c.number for c in charges if c.part == "weight memory")
    assert weights_read == 54 * 16 + 18 * 16 + 18 * 16 + 3  # with the biases
    activations = sum(c.number for c in charges if c.part == "event memory")
    assert activations == 54 * 16 + 18 * 16 + 2 * 2 * 16 * 6 * 3 + 6 * 16 + 6 * 16 + 3


def test_a_pool_of_the_picture_reads_no_weights():
    nodes = [
        Input("picture", 1),
        AvgPool2d("pool", "picture", 2),
        Neurons("fired", "pool", HALF),
        Conv2d("last", "fired", weights(1, 1, 1, 1)),
        Output("output", "last"),
    ]
    ledger = simulate(Network(nodes), np.ones((1, 4, 4), np.float32), 1).operations
    (pool,) = (node for node in ledger.synapses.values() if node.kind == "AvgPool2d")
    assert (pool.macs, pool.weight_reads) == (16, 0)
    model = ENERGY_MODELS["spikingjelly"]
    of_last = ledger.synapses["last"].weight_reads + ledger.synapses["last"].bias_reads
    assert ledger.energy("spikingjelly").parts["weight memory"] == pytest.approx(of_last * model.memory.joules(1, 32))
