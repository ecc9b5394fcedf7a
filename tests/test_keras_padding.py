"""Networks out of Keras files pad where Keras does, or are refused; sums written out by hand are the reference."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import unets

from spikeunet.converters import convert, read_weights
from spikeunet.engine import Conv2d, ConvTranspose2d, Input, MaxPool2d, Network, Output
from spikeunet.engine.command_line import main
from spikeunet.engine.dense import forward
from spikeunet.engine.errors import StateDictError
from spikeunet.engine.graph import file_shares

h5py = pytest.importorskip("h5py", reason="an extra")
from spikeunet.converters.keras_padding import with_keras_padding  # noqa: E402
from spikeunet.converters.weights import KerasArrays, KerasLayer  # noqa: E402

RANDOM = np.random.default_rng(0)
PARTS = {"weight": "kernel:0", "bias": "bias:0"}
SAME = {"padding": "same", "kernel_size": [3, 3], "strides": [2, 2]}


def keras_transposed(x, kernel):
    """Conv2DTranspose(strides=2, padding="same") of (C, H, W) with (in, out, 3, 3): 2 n of 2 n + 1 rows, the first."""
    _, height, width = x.shape
    found = np.zeros((kernel.shape[1], 2 * height + 1, 2 * width + 1))
    for row in range(height):
        for column in range(width):
            found[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += np.tensordot(x[:, row, column], kernel, 1)
    return found[:, : 2 * height, : 2 * width]


def keras_file(state, config=None):
    """Keras's HDF5 file of a state dict of convolutions; both kinds of kernels turn the same way."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for key, array in state.items():
            name, _, part = key.rpartition(".")
            file[f"{name}/{name}/{PARTS[part]}"] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        if config is not None:
            file.attrs["model_config"] = json.dumps({"config": {"layers": config}})
    return stream.getvalue()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "unet.weights.h5").write_bytes(keras_file(unets.random_state()))
    return tmp_path / "unet.weights.h5"


def transposed_alone():
    weight = RANDOM.normal(size=(2, 3, 3, 3)).astype(np.float32)
    up = ConvTranspose2d("up", "picture", weight, stride=2, padding=1, output_padding=1)
    return Network([Input("picture", 2), up, Output("output", "up")]), weight


def test_a_transposed_convolution_begins_where_keras_does():
    network, weight = transposed_alone()
    x = RANDOM.random((2, 4, 5)).astype(np.float32)
    expected = keras_transposed(x, weight)
    assert np.abs(forward(network, x)[0] - expected).max() > 0.5
    found = with_keras_padding(network, KerasArrays())
    assert np.allclose(forward(found, x)[0], expected, atol=1e-5)
    assert "padding" in found.metadata["conversion"]
    # The artificial network multiplies by no zeros.
    assert file_shares(found)["up"] * found["up"].dense_macs((2, 4, 5)) == network["up"].dense_macs((2, 4, 5))


@pytest.mark.parametrize(("padding", "moved"), [("same", True), ("valid", False)])
def test_a_config_says_how_transposed_convolutions_pad(padding, moved):
    network, _ = transposed_alone()
    found = with_keras_padding(network, KerasArrays({"up": KerasLayer("Conv2DTranspose", padding, 3, 2)}))
    assert found["up"].weight.shape[2:] == ((4, 4) if moved else (3, 3))
    assert "padding" not in found.metadata.get("conversion", {})


def test_a_u_net_out_of_a_keras_file(path):
    state = unets.random_state()
    plain, found = convert(state, normalization="none"), convert(path, normalization="none")
    for node in plain.nodes:
        other = found[node.name]
        if isinstance(node, ConvTranspose2d):
            assert (other.padding, other.output_padding) == ((1, 1), (0, 0))
            assert np.array_equal(other.weight[..., 1:, 1:], node.weight)
            assert not other.weight[..., 0, :].any()
            assert not other.weight[..., 0].any()
        elif hasattr(node, "weight"):
            assert np.array_equal(other.weight, node.weight)
    again = convert(read_weights(path), normalization="none")
    assert np.array_equal(again["convtranspose1"].weight, found["convtranspose1"].weight)


def test_the_command_says_what_is_assumed(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["convert", path.name, "-o", "model.npz", "--normalization", "none"], standalone_mode=False)
    assert "padding Keras's 'same' in transposed convolutions" in capsys.readouterr().out
    path.write_bytes(
        keras_file(unets.random_state(), [{"class_name": "Conv2DTranspose", "config": {"name": "a", **SAME}}])
    )
    main(["convert", path.name, "-o", "model.npz", "--normalization", "none"], standalone_mode=False)
    assert "Keras's 'same'" not in capsys.readouterr().out


# --- Strides ----------------------------------------------------------------------------------------------------------


def strided():
    conv = Conv2d("conv", "picture", np.ones((1, 1, 3, 3), np.float32), stride=2, padding=1)
    return Network([Input("picture", 1), conv, Output("output", "conv")])


def pooled():
    pool = MaxPool2d("pool", "picture", 3, 2, 1)
    return Network([Input("picture", 1), pool, Output("output", "pool")])


@pytest.mark.parametrize("layers", [{}, {"a": KerasLayer("Conv2D", "same", 3, 2)}])
@pytest.mark.parametrize(("network", "name"), [(strided(), "conv"), (pooled(), "pool")])
def test_strided_layers_are_refused_where_they_may_pad_by_the_picture_s_size(network, name, layers):
    with pytest.raises(StateDictError, match=f"{name}: Keras's 'same' pads strided layers at the end.*from ONNX"):
        with_keras_padding(network, KerasArrays(layers))


@pytest.mark.parametrize(
    ("kind", "padding", "kernel", "stride"),
    [("Conv2D", "valid", 3, 2), ("Conv2D", "same", 3, 1), ("Conv2D", "same", 1, 2), ("Conv2DTranspose", "same", 3, 2)],
)
def test_strided_layers_that_pad_as_pytorch_s_are_taken(kind, padding, kernel, stride):
    layers = KerasArrays({"a": KerasLayer(kind, padding, kernel, stride)})
    assert with_keras_padding(strided(), layers)["conv"].padding == (1, 1)


@pytest.mark.parametrize(
    "node",
    [
        Conv2d("layer", "picture", np.ones((1, 1, 1, 1), np.float32), stride=2),
        Conv2d("layer", "picture", np.ones((1, 1, 6, 6), np.float32), stride=2, padding=2),  # reads blocks of 2x2
        Conv2d("layer", "picture", np.ones((1, 1, 3, 3), np.float32), padding=1),
        MaxPool2d("layer", "picture", 2),
    ],
)
def test_layers_that_pad_alike_in_both_are_taken(node):
    network = Network([Input("picture", 1), node, Output("output", "layer")])
    assert with_keras_padding(network, KerasArrays()) is network
