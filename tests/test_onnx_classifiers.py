"""ResNet-18 and MobileNetV2 out of PyTorch: exact in their analog form, and spikes that tend to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from named_networks import PARAMETERS, mobilenet_v2, resnet18
from test_onnx_parity_torch import check_of, exported, randomised
from torch import nn

from spikeunet.converters import convert, read_onnx, relative_error

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
@pytest.mark.parametrize(("name", "opset"), [("resnet18", 11), ("mobilenet_v2", 17)])
def test_a_whole_network_is_exact_as_it_was_recorded(tmp_path, name, opset):
    network, x = as_trained(name), torch.rand(2, 3, 64, 64)
    path = exported(network, x, tmp_path / "network.onnx", opset)
    imported = read_onnx(path)
    assert relative_error(imported.network, check_of(network, x), imported.endings) < 1e-5
    # Of open size: other pictures are computed likewise.
    other = torch.rand(1, 3, 53, 71)
    assert relative_error(imported.network, check_of(network, other), imported.endings) < 1e-5


def test_channels_that_come_last_are_exported_as_others(tmp_path, export_torch):
    """torch.export writes their strides into the graph, by which a global average became one of other channels."""
    pytest.importorskip("onnxscript")
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    network = randomised(nn.Sequential(*layers)).to(memory_format=torch.channels_last)
    export_torch.export(network, torch.rand(2, 2, 8, 8), tmp_path / "network.onnx")
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    convert(tmp_path / "network.onnx", normalization="none", check=tmp_path / "network.npz")
