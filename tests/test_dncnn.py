"""DnCNN: state dicts of KAIR's and others' numbering, with and without batch norms, become the same function."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import unets

from spikeunet.converters import convert, read_weights
from spikeunet.engine import AvgPool2d, Conv2d, Neurons, read_picture
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward as outputs
from spikeunet.engine.errors import StateDictError
from spikeunet.engine.pictures.noise import add_noise


def forward(network, picture):
    return outputs(network, picture)[0]


def random_state(layers=4, channels=1, width=3, kernel=3, prefix="model.", norms=False, biases=True, seed=0):
    """Arrays of a chain; with batch norms behind all but the first and the last convolution."""
    random = np.random.default_rng(seed)
    state, number = {}, 0
    widths = [channels, *[width] * (layers - 1), channels]
    for index, pair in enumerate(pairwise(widths)):
        incoming, outgoing = pair
        scale = np.sqrt(2 / (incoming * kernel**2))
        shape = (outgoing, incoming, kernel, kernel)
        state[f"{prefix}{number}.weight"] = (random.standard_normal(shape) * scale).astype(np.float32)
        if biases:
            state[f"{prefix}{number}.bias"] = (0.1 * random.standard_normal(outgoing)).astype(np.float32)
        number += 1
        if norms and 0 < index < layers - 1:
            for part in ("weight", "bias", "running_mean", "running_var"):
                state[f"{prefix}{number}.{part}"] = random.uniform(0.5, 1.5, outgoing).astype(np.float32)
            state[f"{prefix}{number}.num_batches_tracked"] = np.asarray(3)
            number += 1
        number += 1
    return state


def in_pytorch(torch, state, prefix="model.", epsilon=1e-5):
    """The same chain of PyTorch's own modules, with a ReLU in every number that has no arrays."""
    arrays = {key.removeprefix(prefix): torch.from_numpy(np.asarray(array)) for key, array in state.items()}
    chain = torch.nn.Sequential()
    for number in range(max(int(key.partition(".")[0]) for key in arrays) + 1):
        weight = arrays.get(f"{number}.weight")
        if weight is None:
            chain.append(torch.nn.ReLU())
        elif weight.ndim == 1:
            chain.append(torch.nn.BatchNorm2d(len(weight), eps=epsilon))
        else:
            bias = f"{number}.bias" in arrays
            chain.append(torch.nn.Conv2d(weight.shape[1], len(weight), weight.shape[2:], padding="same", bias=bias))
    chain.load_state_dict(arrays)
    return chain.eval()


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize(("channels", "kernel", "prefix"), [(1, 3, "model."), (3, 5, "module.dncnn."), (1, 1, "")])
def test_the_function_is_pytorchs(norms, biases, channels, kernel, prefix):
    torch = pytest.importorskip("torch", reason="PyTorch is what this is compared with")
    state = random_state(channels=channels, kernel=kernel, prefix=prefix, norms=norms, biases=biases)
    picture = np.random.default_rng(1).random((channels, 11, 14), np.float32)
    network = convert(state, "dncnn", "none", batch_norm_epsilon=1e-3)
    with torch.no_grad():
        expected = in_pytorch(torch, state, prefix, 1e-3)(torch.from_numpy(picture)[None])[0].numpy()
    np.testing.assert_allclose(forward(network, picture), expected, atol=1e-5 * np.abs(expected).max())


def test_layers_and_what_is_assumed():
    state = random_state(5, norms=True, biases=False)
    network = convert(state, "dncnn", "none")
    convolutions = [node.name for node in network.nodes if isinstance(node, Conv2d)]
    assert convolutions == [f"conv{number}" for number in range(1, 6)]
    assert [node.name for node in network.nodes if isinstance(node, Neurons)] == [f"relu{n}" for n in range(1, 5)]
    assert not any(isinstance(node, AvgPool2d) for node in network.nodes)
    assert network.metadata["conversion"] == {
        "normalization": "none",
        "default_neurons": 4,
        "architecture": "dncnn",
        "dilation": 1,
        "batch_norms": 3,
        "batch_norm_epsilon": 1e-5,
        "zero_biases": ["conv1", "conv5"],
        "prefixes": ["model."],
    }


def test_normalisation_leaves_the_function():
    state = random_state()
    picture = np.random.default_rng(1).random((1, 12, 12), np.float32)
    plain, network = (convert(state, "dncnn", kind, [picture]) for kind in ("none", "connection"))
    np.testing.assert_allclose(forward(network, picture), forward(plain, picture), atol=1e-5)


def changed(**arrays):
    state = random_state()
    for key, array in arrays.items():
        state[f"model.{key.replace('_', '.')}"] = array
    return {key: array for key, array in state.items() if array is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"conv1.weight": np.zeros((1, 1, 3, 3))}, "looks like another architecture than 'dncnn'"),
        ({"0.weight": np.zeros((1, 1, 3, 3))}, "does not fit the architecture 'dncnn': missing: 2.weight"),
        (changed(**{"3_weight": np.ones(3)}), ": 3 has no place in it; build its Network yourself"),
        (
            changed(**{"2_weight": None, "2_bias": None}),
            "is no chain of convolutions, each with a ReLU and perhaps a batch norm: 4, 6 has",
        ),
        (changed(**{"2_weight": None}), "missing: 2.weight"),
        (changed(**{"2_scale": np.ones(3)}), "unexpected: 2.scale"),
        (changed(**{"2_weight": np.ones((3, 2, 3, 3))}), "2.weight (expected (out, 3, odd, odd), got (3, 2, 3, 3))"),
        (changed(**{"0_weight": np.ones((3, 1, 2, 3))}), "0.weight (expected (out, 1, odd, odd), got (3, 1, 2, 3))"),
        (changed(**{"0_weight": np.ones((3, 1))}), "0.weight (expected (out, 1, odd, odd), got (3, 1))"),
        (changed(**{"0_bias": np.ones(2)}), "0.bias (expected (3,), got (2,))"),
        (changed(**{"6_weight": np.ones((2, 3, 3, 3)), "6_bias": None}), "puts out 2 channels where 1 come in"),
    ],
)
def test_other_state_dicts_are_refused(state, message):
    with pytest.raises(StateDictError, match=re.escape(message)):
        convert(state, "dncnn", "none")


def test_the_architecture_that_fits_is_named():
    message = "is not of the architecture 'spiking-unet' but of 'dncnn'; say so (--architecture, architecture=)"
    with pytest.raises(StateDictError, match=re.escape(message)):
        convert(random_state(), "spiking-unet", normalization="none")
    with pytest.raises(StateDictError, match="is not of the architecture 'dncnn' but of 'spiking-unet'; say so"):
        convert(unets.random_state(), "dncnn", "none")


def test_a_network_without_a_neuron_is_said_to_be_none(capsys, tmp_path):
    """One convolution is no DnCNN; the command says so in one line."""
    np.savez(tmp_path / "ann.npz", **{"0.weight": np.zeros((1, 1, 3, 3), np.float32)})
    arguments = ["convert", str(tmp_path / "ann.npz"), "--architecture", "dncnn", "--normalization", "none"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "-o", str(tmp_path / "model.npz")])
    assert ended.value.code == 2
    assert "missing: 2.weight" in capsys.readouterr().err


def test_the_command_converts_and_says_what_it_assumes(capsys, tmp_path):
    np.savez(tmp_path / "ann.npz", **random_state())
    arguments = ["convert", str(tmp_path / "ann.npz"), "--architecture", "dncnn", "--normalization", "none"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "-o", str(tmp_path / "model.npz")])
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "the output is the noise (--predicts); dilation 1" in " ".join(printed.split())


# --- The network that others trained ---------------------------------------------------------------------------------


def psnr(picture, other):
    return -10 * np.log10(np.mean((np.clip(picture, 0, 1) - other) ** 2))


def test_the_real_network_is_the_function_that_pytorch_computes(shared_checkpoints, shared_data):
    torch = pytest.importorskip("torch", reason="PyTorch is what this is compared with")
    path = shared_checkpoints / "dncnn_25.pth"
    clean = read_picture(shared_data / "denoise" / "set12" / "01.png")[100:148, 80:128].astype(np.float32) / 255
    noisy = add_noise(clean, 25, 0)[None]
    with torch.no_grad():
        expected = in_pytorch(torch, torch.load(path, weights_only=True))(torch.from_numpy(noisy)[None])[0].numpy()
    found = forward(convert(path, "dncnn", "none"), noisy)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert psnr((noisy - found)[0], clean) > psnr(noisy[0], clean) + 7
    assert len(read_weights(path)) == 34


@pytest.mark.slow
def test_the_real_network_scores_what_it_should(shared_checkpoints, shared_data):
    """The mean over all of Set12 is 30.458 dB; these are its three first pictures in the same run."""
    network = convert(shared_checkpoints / "dncnn_25.pth", "dncnn", "none")
    scores = []
    for index, path in enumerate(sorted((shared_data / "denoise" / "set12").glob("*.png"))[:3]):
        clean = read_picture(path).astype(np.float64) / 255
        noisy = add_noise(clean, 25, index)
        scores.append(psnr(noisy - forward(network, noisy[None])[0], clean))
    np.testing.assert_allclose(scores, [30.097, 33.172, 30.893], atol=0.01)
