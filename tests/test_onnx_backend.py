"""The test data of ONNX itself: what it has of one operator each is converted exactly, or refused by name."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from pathlib import Path

import numpy as np
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


# --- Cases of single nodes, whose weights are inputs of the graph -----------------------------------------------------

EXACT_NODES = {
    "AveragePool": ("1d_default", "2d_default", "2d_precomputed_pads_count_include_pad", "2d_precomputed_strides",
                    "2d_strides"),
    "BatchNormalization": ("epsilon", "example"),
    "Conv": ("autopad_same", "strides_and_asymmetric_padding", "strides_no_padding", "strides_padding", "with_padding",
             "without_padding"),
    "ConvTranspose": ("autopad_same", "convtranspose", "convtranspose_1d", "convtranspose_pad", "dilations", "group_2",
                      "group_2_image_3", "kernel_shape", "output_shape", "pads"),
    "DepthToSpace": ("crd_mode_example", "depthtospace_example"),
    "Dropout": ("default", "default_ratio", "random_old"),
    "Flatten": ("axis1", "default_axis"),
    "Gemm": ("alpha", "beta", "default_no_bias", "default_scalar_bias", "default_single_elem_vector_bias",
             "default_vector_bias", "default_zero_bias", "transposeB"),
    "GlobalAveragePool": ("globalaveragepool", "precomputed"),
    "GlobalMaxPool": ("globalmaxpool", "precomputed"),
    "Identity": ("identity",),
    "LeakyRelu": ("default", "leakyrelu"),
    "LogSoftmax": ("default_axis", "example_1", "large_number"),
    "MatMul": ("2d",),
    "MaxPool": ("1d_default", "2d_default", "2d_precomputed_pads", "2d_precomputed_same_upper",
                "2d_precomputed_strides", "2d_strides"),
    "Neg": ("neg",),
    "Relu": ("relu",),
    "Resize": ("upsample_scales_linear", "upsample_scales_linear_align_corners", "upsample_scales_nearest",
               "upsample_scales_nearest_axes_2_3", "upsample_scales_nearest_axes_3_2"),
    "Sigmoid": ("sigmoid",),
    "Softmax": ("default_axis", "example", "large_number"),
    "SpaceToDepth": ("crd_mode_example", "dcr_mode_example", "spacetodepth", "spacetodepth_example"),
    "Tanh": ("tanh",),
}  # fmt: skip
"""By operator, how the names of cases end that must be exact."""

OTHERS = ("Add", "Clip", "Concat", "Div", "Mul", "PRelu", "Pad", "ReduceMean", "Reshape", "Squeeze", "Sub", "Sum",
          "Transpose", "Unsqueeze")  # fmt: skip
"""Operators whose cases mix pictures or are of other axes than pictures have, and so are mostly refused."""


def import_wanted(package):
    """The modules that make cases of the operators above; those of all operators compute twice as long."""
    wanted = tuple(operator.lower() for operator in (*EXACT_NODES, *OTHERS))
    for module in pkgutil.iter_modules(package.__path__):
        if any(operator.startswith(module.name.replace("_", "")) for operator in wanted):
            importlib.import_module(f"{package.__name__}.{module.name}")


@pytest.fixture
def node_cases(monkeypatch):
    """By operator, the cases of one node and one output: name, model with constants for all inputs but one, arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = pytest.importorskip("onnx.backend.test.case.node")
        monkeypatch.setattr(node, "import_recursive", import_wanted)
        cases = node.collect_testcases(None)
    found = {}
    for each in cases:
        if each.model is None or len(each.model.graph.node) != 1 or len(each.model.graph.output) != 1:
            continue
        operator = each.model.graph.node[0].op_type
        inputs, outputs = each.data_sets[0]
        if inputs and all(
            isinstance(array, np.ndarray) and array.dtype == np.float32 for array in (*inputs[:1], *outputs)
        ):
            found.setdefault(operator, []).append(
                (each.name, _with_constants(each.model, inputs), inputs[0], outputs[0])
            )
    return found


def _with_constants(made, inputs):
    model = onnx.ModelProto()
    model.CopyFrom(made)
    names = [each.name for each in model.graph.input][1:]
    model.graph.initializer.extend(map(onnx.numpy_helper.from_array, inputs[1:], names))
    del model.graph.input[1:]
    return model


@pytest.mark.slow
def test_no_case_of_one_node_is_misunderstood(tmp_path, node_cases):
    """Each is exact or refused: nothing in between."""
    for operator in (*EXACT_NODES, *OTHERS):
        check_cases(tmp_path, node_cases, operator)


def check_cases(tmp_path, node_cases, operator):
    from onnx_graphs import saved

    from spikeunet.converters import read_onnx, relative_error
    from spikeunet.engine import SpikeunetError

    exact, messages = [], []
    for name, model, *check in node_cases.get(operator, ()):
        try:
            imported = read_onnx(saved(tmp_path / "node.onnx", model))
            assert relative_error(imported.network, tuple(check), imported.endings) < 1e-5, name
            exact.append(name)
        except SpikeunetError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)
    for end in EXACT_NODES.get(operator, ()):
        assert any(name.endswith(end) for name in exact), end
