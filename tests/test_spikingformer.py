"""Spikingformer: parity with PyTorch, what its weights meet, and what of a state dict is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from published_spikingformer import CIFAR, IMAGENET, Published, random_state

from spikeunet.converters import convert, read_spikingformer
from spikeunet.engine import InputError, LeakyIntegrateAndFire, StateDictError, load_model, save_model, simulate
from spikeunet.engine.command_line import main
from spikeunet.engine.learning.finetune import run_flow
from spikeunet.engine.testing import check_binary_inputs, reference
from spikeunet.engine.testing.comparison import assert_same_operations

HEADS, SIZES = 2, {"cifar": (CIFAR, (3, 16, 12)), "imagenet": (IMAGENET, (3, 32, 16))}


def picture_of(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.fixture(scope="module")
def state():
    return random_state(dim=8, depth=2)


@pytest.fixture(scope="module")
def network(state):
    return read_spikingformer(state, HEADS)


# --- Parity with PyTorch ---------------------------------------------------------------------------------------------


def assert_parity(network, published, picture, steps=4):
    """The same output to 1e-5, and the same spikes of every population, at every step."""
    expected = published(picture, steps)
    found = simulate(network, picture, steps, record={"spikes"})
    np.testing.assert_allclose(found.output.ravel(), expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    for name, spikes in published.spikes.items():
        part = "qkv".find(name[-5]) if name[-6:-5] == "." else -1
        own = found.spikes[name] if part < 0 else np.split(found.spikes[name[:-5] + "qkv_lif"], 3, axis=1)[part]
        np.testing.assert_array_equal(own, spikes.numpy(), name)
    return found


@pytest.mark.parametrize("stem", SIZES)
def test_parity_with_pytorch(stem):
    """In float64: no potential of these comes closer than 1e-6 to a threshold, but those of sums of whole numbers."""
    pytest.importorskip("torch")
    convolutions, shape = SIZES[stem]
    state = random_state(dim=8, depth=2, stem=convolutions)
    published = Published(state, HEADS, convolutions)
    found = assert_parity(read_spikingformer(state, HEADS), published, picture_of(shape))
    assert all(spikes.any() for spikes in found.spikes.values()) or stem == "imagenet"  # of two tokens, too few to meet
    near = {name: distance for name, distance in published.distance.items() if "attn_lif" not in name}
    assert min(near.values()) > 1e-6


def test_float32_weights_and_another_time_constant():
    torch = pytest.importorskip("torch")
    state = {name: np.float32(value) if value.ndim else value for name, value in random_state(dim=8, depth=1).items()}
    picture = picture_of((3, 16, 12))
    assert_parity(read_spikingformer(state, 4, tau=1.5), Published(state, 4, tau=1.5), picture)
    assert_parity(read_spikingformer(state, 4), Published(state, 4, dtype=torch.float32), picture)


# --- What is counted, and what weights meet --------------------------------------------------------------------------


def test_every_weight_but_the_first_meets_binary_events(network):
    shares = check_binary_inputs(network, picture_of((3, 16, 12)), 4, analog=["patch_embed.block0_conv"])
    weighted = {node.name for node in network.nodes if hasattr(node, "weight")} - {"patch_embed.block0_conv"}
    assert weighted < set(shares)
    assert all(0 < share < 0.8 for share in shares.values())


def test_what_is_not_binary_is_found(network):
    picture = picture_of((3, 16, 12))
    with pytest.raises(AssertionError, match=r"'patch_embed.block0_conv' reads the analog input picture"):
        check_binary_inputs(network, picture, 4)
    with pytest.raises(AssertionError, match="no synapses are called nothing"):
        check_binary_inputs(network, picture, 4, analog=["nothing"])
    halves = network.with_neurons(LeakyIntegrateAndFire(0.5, reset="zero"))
    with pytest.raises(
        AssertionError, match=r"Conv2d 'patch_embed.block1_conv' reads 0.5 of 'patch_embed.block1_lif' at"
    ):
        check_binary_inputs(halves, picture, 4, analog=["patch_embed.block0_conv"])


def test_events_cost_what_the_reference_counts(network):
    """Dense reference and brute force over every event; weights are rounded, so that sums are exact."""
    nodes = [
        replace(node, weight=np.round(node.weight * 16) / 16, bias=np.round(node.bias * 16) / 16)
        if hasattr(node, "weight")
        else node
        for node in network.nodes
    ]
    rounded, picture = network.replace(nodes), np.round(picture_of((3, 16, 16)) * 16) / 16
    expected = reference.simulate(rounded, picture, 4)
    found = simulate(rounded, picture, 4, record={"spikes"})
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes, name)
    np.testing.assert_array_equal(found.output, expected.output)
    assert_same_operations(found.operations, expected.operations)
    for name, count in expected.count_reads().items():
        assert found.operations.totals[name] == count, name


def test_attention_counts_pairs_of_events(network):
    """An event of k with each of v at its pixel in its head, one of q with as many sums as a head has channels."""
    found = simulate(network, picture_of((3, 16, 12)), 4, record={"spikes"})
    q, k, v = np.split(found.spikes["block.0.attn.qkv_lif"], 3, axis=1)
    size = q.shape[1] // HEADS
    by_head = [part.reshape(4, HEADS, size, *part.shape[2:]).sum(2) for part in (q, k, v)]
    expected = (by_head[1] * by_head[2]).sum((1, 2, 3)) + size * by_head[0].sum((1, 2, 3))
    ledger = found.operations.synapses["block.0.attn.attn"]
    np.testing.assert_array_equal(ledger.synops, expected)
    assert expected.any()
    assert ledger.dense_synops == 4 * ledger.dense_macs == 4 * 2 * 12 * 8 * size


def test_files_threads_and_tiles(network, tmp_path):
    save_model(network, tmp_path / "model.npz")
    again, picture = load_model(tmp_path / "model.npz"), picture_of((3, 16, 12))
    assert again.metadata["conversion"]["heads"] == HEADS
    expected = simulate(network, picture, 4, threads=1)
    for model, options in ((again, {"threads": 3}), (network, {"tile": 3})):
        found = simulate(model, picture, 4, **options)
        np.testing.assert_array_equal(found.output, expected.output)
        assert_same_operations(found.operations, expected.operations)


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.weight": None}, "does not fit the architecture 'spikingformer': missing: head.weight"),
        ({"block.1.attn.rel_pos": np.zeros(3)}, "unexpected: block.1.attn.rel_pos"),
        ({"block.0.attn.q_conv.weight": np.zeros((8, 8))}, r"q_conv.weight \(expected \(8, 8, 1\), got \(8, 8\)"),
        ({"block.0.attn.q_conv.bias": np.zeros(8)}, "unexpected: block.0.attn.q_conv.bias"),
        ({"block.1.mlp.mlp2_bn.running_var": -np.ones(8)}, r"block.1.mlp.mlp2_bn \(running_var is negative\)"),
        ({"head.bias": np.full(5, np.nan)}, r"head.bias \(NaN or infinite\)"),
    ],
)
def test_state_dicts_that_do_not_fit(state, change, message):
    changed = {name: value for name, value in (state | change).items() if value is not None}
    with pytest.raises(StateDictError, match=message):
        read_spikingformer(changed, HEADS)


def test_another_networks_state_dict():
    with pytest.raises(StateDictError, match="looks like another architecture than 'spikingformer'"):
        read_spikingformer({"conv1.weight": np.zeros((3, 3, 3, 3))}, HEADS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"heads must divide the 8 channels of the blocks \(got 3\)"),
        ({"heads": 0}, "heads must be a whole number from 1 on"),
        ({"heads": 2.0}, "heads must be a whole number from 1 on"),
        ({"heads": 2, "tau": 0.5}, "tau must be at least 1"),
        ({"heads": 2, "attention_threshold": 0.0}, "attention_threshold must be above 0"),
        ({"heads": 2, "epsilon": float("nan")}, "epsilon must be above 0"),
    ],
)
def test_numbers_that_are_none(state, options, message):
    with pytest.raises(InputError, match=message):
        read_spikingformer(state, **options)


# --- What has no meaning for it --------------------------------------------------------------------------------------


def test_nothing_is_normalised_across_attention(network):
    """It multiplies what it reads with one another: scales that are handed on would change the function."""
    pictures = [picture_of((3, 16, 12), seed) for seed in range(2)]
    for scales in ("channel", "connection", "layer"):
        with pytest.raises(
            InputError, match=r"'block.0.attn.attn' multiplies what it reads .*take --normalization none"
        ):
            convert(network, calibration=pictures, normalization=scales)


def test_accumulated_flow_knows_no_attention(network):
    batch = picture_of((3, 16, 12)).transpose(1, 2, 0)[None]
    with pytest.raises(InputError, match=r"Attention 'block.0.attn.attn' multiplies events of a step .*--method bptt"):
        run_flow(network, batch, 4)


# --- The command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    """Exit status of the command line."""
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    return left.value.code


def test_the_command(state, network, tmp_path, capsys):
    """Told by its keys, whatever wraps them; what is written puts out what the network puts out."""
    weights, model = tmp_path / "state.npz", tmp_path / "model.npz"
    np.savez(weights, **{f"module.{name}": value for name, value in state.items()})
    assert run("convert", weights, "-o", model, "--heads", HEADS) == 0
    shown = capsys.readouterr().out
    assert "2 steps, of all neurons (--tau)" in shown
    assert "'module.' taken off each" in shown
    found, picture = load_model(model), picture_of((3, 16, 12))
    assert (found.metadata["task"], found.metadata["steps"]) == ("classify", 4)
    expected = simulate(network, picture, 4).output
    np.testing.assert_array_equal(simulate(found, picture, 4).output, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "do not say how many heads its attention has; name it by --heads"),
        (("--heads", 3), "heads must divide the 8 channels of the blocks (got 3)"),
        (
            ("--heads", 2, "--neuron", "if"),
            "--neuron has no meaning for a Spikingformer, which spikes already; leave it out",
        ),
        (("--heads", 2, "--tau", 0), "tau must be at least 1"),
        (("--heads", 2, "--dt", 1), "--dt is for NIR files"),
    ],
)
def test_what_the_command_refuses(state, options, message, tmp_path, capsys):
    np.savez(tmp_path / "state.npz", **state)
    assert run("convert", tmp_path / "state.npz", "-o", tmp_path / "model.npz", *options) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "model.npz").exists()


def test_options_of_a_spikingformer_for_another_network(tmp_path, capsys):
    np.savez(tmp_path / "state.npz", **{"conv1.weight": np.ones((1, 1, 3, 3)), "conv1.bias": np.ones(1)})
    assert run("convert", tmp_path / "state.npz", "-o", tmp_path / "model.npz", "--heads", 2) == 2
    assert "--heads is for the weights of a Spikingformer, which these are not" in capsys.readouterr().err
