"""The test data of ONNX itself: what it has of one operator each is converted exactly, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
EXACT = (
    "AvgPool2d", "AvgPool2d_stride", "BatchNorm1d_3d_input_eval", "BatchNorm2d_eval", "Conv1d_dilated", "Conv1d_groups",
    "Conv1d_pad2size1", "Conv1d_stride", "Conv2d_depthwise_strided", "Conv2d_depthwise_with_multiplier",
    "Conv2d_dilated", "Conv2d_groups", "Conv2d_padding", "Conv2d_strided", "ConvTranspose2d", "LeakyReLU_with_negval",
    "Linear", "Linear_no_bias", "LogSoftmax", "MaxPool1d_stride", "MaxPool2d", "PReLU_2d", "PixelShuffle", "ReLU",
    "Sigmoid", "Softmax", "Softmin", "Tanh", "ZeroPad2d", "softmax_lastdim",
)  # fmt: skip
REFUSED = {
    "AvgPool3d": "reads 5 axes",
    "ELU": "has the operator Elu",
    "Embedding": "has the operator Gather",
    "GLU": "has the operator Split",
    "MaxPool2d_stride_padding_dilation": "dilations must be 1",
    "ReflectionPad2d": "pads with other than zeros",
    "Softplus": "has the operator Softplus",
    "Softsign": "has the operator Abs",
}


@pytest.fixture
def case(tmp_path):
    from onnx_graphs import saved

    def made(name):
        """A model that was brought to an opset that is read, its inputs and its outputs."""
        folder = DATA / "pytorch-converted" / f"test_{name}"
        if not folder.is_dir():
            pytest.skip("the package onnx comes without its test data")
        model = onnx.version_converter.convert_version(onnx.load(folder / "model.onnx"), 13)
        arrays = (_array(folder / "test_data_set_0" / file) for file in ("input_0.pb", "output_0.pb"))
        return saved(tmp_path / "network.onnx", model), tuple(arrays)

    return made


def _array(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)


@pytest.mark.parametrize("name", EXACT)
def test_a_case_is_exact(case, name):
    from spikeunet.converters import read_onnx, relative_error

    path, check = case(name)
    imported = read_onnx(path)
    assert relative_error(imported.network, check, imported.endings) < 1e-6


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_is_refused_by_name(case, name):
    from spikeunet.converters import read_onnx
    from spikeunet.engine import StateDictError

    with pytest.raises(StateDictError, match=REFUSED[name]):
        read_onnx(case(name)[0])
