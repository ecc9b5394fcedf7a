"""ResNet-18 and MobileNetV2 out of PyTorch: exact in their analog form, and spikes that tend to it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from named_networks import PARAMETERS, mobilenet_v2, resnet18
from test_onnx_parity_torch import check_of, exported, randomised
from torch import nn

from spikeunet.converters import convert, read_onnx, relative_error
from spikeunet.engine import forward, simulate

pytestmark = pytest.mark.filterwarnings("ignore")  # what PyTorch's exporters remark
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MAKERS = {"resnet18": resnet18, "mobilenet_v2": mobilenet_v2}


@pytest.fixture
def export_torch(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import export_torch

    yield export_torch
    sys.modules.pop("export_torch", None)


def as_trained(name):
    network = randomised(MAKERS[name]())
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("opset", [11, 17])
def test_a_whole_network_is_exact_as_it_was_recorded(tmp_path, name, opset):
    network, x = as_trained(name), torch.rand(2, 3, 64, 64)
    path = exported(network, x, tmp_path / "network.onnx", opset)
    imported = read_onnx(path)
    assert relative_error(imported.network, check_of(network, x), imported.endings) < 1e-5
    # Of open size: other pictures are computed likewise.
    other = torch.rand(1, 3, 53, 71)
    assert relative_error(imported.network, check_of(network, other), imported.endings) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_a_whole_network_is_exact_as_the_example_exports_it(tmp_path, export_torch, name):
    pytest.importorskip("onnxscript")
    export_torch.export(as_trained(name), torch.rand(2, 3, 64, 64), tmp_path / "network.onnx")
    converted = convert(tmp_path / "network.onnx", normalization="none", check=tmp_path / "network.npz")
    assert converted.metadata["conversion"]["relative_error"] < 1e-5
    assert converted.metadata["conversion"]["input_size"] == [64, 64]


def test_channels_that_come_last_are_exported_as_others(tmp_path, export_torch):
    """torch.export writes their strides into the graph, by which a global average became one of other channels."""
    pytest.importorskip("onnxscript")
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    network = randomised(nn.Sequential(*layers)).to(memory_format=torch.channels_last)
    export_torch.export(network, torch.rand(2, 2, 8, 8), tmp_path / "network.onnx")
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    convert(tmp_path / "network.onnx", normalization="none", check=tmp_path / "network.npz")


SMALL = {
    "resnet18": lambda: resnet18(4, 5),
    "mobilenet_v2": lambda: mobilenet_v2(0.25, 5, ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2)), 16),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_spikes_of_a_smaller_sibling_tend_to_the_analog_form(tmp_path, name):
    network, x = randomised(SMALL[name]()), torch.rand(4, 3, 32, 32)
    path = exported(network, x, tmp_path / "network.onnx")
    converted = convert(path, calibration=list(x.numpy()), percentile=100, check=check_of(network, x))
    wanted = forward(converted, x.numpy())[0]
    readout = simulate(converted, x.numpy(), steps=256, record=("readout",)).readout
    sizes = np.abs(wanted).max()
    errors = [np.abs(readout[:, steps - 1] / steps - wanted).max() / sizes for steps in (1, 4, 16, 64, 256)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01
