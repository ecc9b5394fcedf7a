"""The small ESDNet of examples/derainer.py, imported and run in the engine, against PyTorch; and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from example_modules import example_modules

from spikeunet.converters import convert
from spikeunet.engine import InputError, IntegrateAndFire, LeakyIntegrateAndFire, StateDictError, forward, simulate
from spikeunet.engine.layers import AttentionGates

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

NEURONS = {"neurons.threshold": 0.15, "neurons.decay": 0.5, "stream.quantum": 1 / 128, "branch.quantum": 1 / 256}


@pytest.fixture(scope="module")
def script():
    with example_modules("derainer") as modules:
        yield modules.derainer


def picture():
    return np.random.default_rng(2).random((3, 8, 12)).astype(np.float32)


@torch.no_grad()
def trained(script, steps=4, attention=True):
    """A network whose weights, gates and batch norms are away from where they start, and what it makes of a picture."""
    torch.manual_seed(5)
    network = script.Derainer(4, (1, 2, 1, 1, 1), steps, attention)
    for name, value in network.named_parameters():
        if value.ndim == 1 or "attention" in name:
            value.add_(0.1 * torch.randn_like(value))
        if steps and name.endswith("norm.bias"):
            value.add_(0.1)
    for _ in range(3):
        network(torch.rand(2, 3, 16, 16))
    network.eval()
    network.readout.weight.mul_(20)
    return network, network(torch.from_numpy(picture())[None])[0].numpy()


def state_of(network):
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    return {**arrays, **({name: np.float32(number) for name, number in NEURONS.items()} if network.steps else {})}


@pytest.fixture(scope="module")
def state(script):
    return state_of(trained(script)[0])


@pytest.mark.parametrize("attention", [True, False])
def test_it_computes_what_pytorch_computes(script, attention):
    network, expected = trained(script, attention=attention)
    converted = convert(state_of(network), normalization="none")
    found = simulate(converted, picture(), steps=4)
    np.testing.assert_allclose(found.output, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    # Each of the neurons has a say: they fire, and not all of them.
    rates = [each.events.sum() / each.neurons / 4 for each in found.operations.neurons.values()]
    assert min(rates) > 0.001
    assert any(isinstance(node, AttentionGates) for node in converted.nodes) == attention
    assert converted.metadata["conversion"]["architecture"] == "esdnet"


def test_the_twin_is_the_analog_network(script):
    network, expected = trained(script, steps=0)
    converted = convert(state_of(network), normalization="none")
    np.testing.assert_allclose(forward(converted, picture())[0], expected, rtol=1e-4, atol=1e-5)


def test_its_neurons_are_those_of_its_training(state):
    network = convert(state, normalization="none")
    firing = {node.model for node in network.neurons if node.name.endswith(("spikes1", "spikes2", "spikes"))}
    assert firing == {LeakyIntegrateAndFire(0.15, 0.5, "zero")}
    with pytest.raises(InputError, match=r"was trained with its neurons, LeakyIntegrateAndFire\(.*leave the neuron"):
        convert(state, normalization="none", neuron=IntegrateAndFire())
    with pytest.raises(InputError, match=r"was trained with its neurons.*take normalization 'none'"):
        convert(state, calibration=[picture()])


def test_what_streams_are_read_by_is_none_of_the_artificial_network(state):
    network = convert(state, normalization="none")
    ledger = simulate(network, picture(), 1).operations.synapses
    same = [name for name, node in ledger.items() if node.kind == "Scale"]
    assert same
    assert all(name.endswith(".same") and not ledger[name].dense_macs for name in same)


def test_gates_are_not_normalised(script):
    network = convert(state_of(trained(script, steps=0)[0]), normalization="none")
    with pytest.raises(
        InputError, match=r"AttentionGates 'encoder1\.0\.attention' multiplies what it reads .*normalization='none'"
    ):
        convert(network, calibration=[picture()])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neurons.decay": None}, r"'esdnet': missing: neurons\.decay"),
        ({"neurons.decay": np.float32(1)}, r"neurons\.decay must lie between 0 and 1 \(got 1\.0\)"),
        ({"neurons.threshold": np.zeros(3, np.float32)}, r"misshapen: neurons\.threshold \(expected \(\), got"),
        ({"neurons.threshold": np.float32(-1)}, r"neurons\.threshold must lie between 0 and 1 \(got -1\.0\)"),
        ({"middle.0.first.conv.weight": np.ones((16, 8, 3, 3), np.float32)}, r"middle\.0\.first\.conv\.weight \(exp"),
        ({"encoder2.0.attention.bias": None}, r"missing: encoder2\.0\.attention\.bias"),
        ({"encoder2.0.extra.weight": np.ones(3, np.float32)}, r"unexpected: encoder2\.0\.extra\.weight"),
        ({"up1.norm.running_var": np.full(4, -1, np.float32)}, r"up1\.norm \(running_var is negative\)"),
        ({"embed.weight": np.ones((0, 3, 3, 3), np.float32)}, r"misshapen"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(state, change, message):
    changed = {name: value for name, value in {**state, **change}.items() if value is not None}
    with pytest.raises(StateDictError, match=message) as refused:
        convert(changed, "esdnet", normalization="none")
    assert "\n" not in str(refused.value)


def test_keys_of_a_wrapper_are_taken_off(state):
    wrapped = {f"module.{name}": value for name, value in state.items()}
    assert convert(wrapped, normalization="none").metadata["conversion"]["prefixes"] == ["module."]
