"""PyTorch's modules, exported: the analog form (ANN) gives what PyTorch gives, the spiking network tends to it."""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from torch import nn
from torch.nn import functional

from spikeunet.converters import convert, read_onnx, relative_error
from spikeunet.engine import forward, load_model, simulate
from spikeunet.engine.command_line import main

pytestmark = pytest.mark.filterwarnings("ignore")  # what PyTorch's exporters remark
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
OPSETS = (11, 17)


def randomised(network):
    """In evaluation mode, with random numbers everywhere, those of batch norms as after training."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.2, 0.5)
    return network.eval()


def exported(network, x, path, opset=17, axes=(0, 2, 3)):
    """By the exporter that records a run, with open axes."""
    open_axes = {axis: f"axis{axis}" for axis in axes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), path, dynamo=False, opset_version=opset, input_names=["x"],
                          dynamic_axes={"x": open_axes}, do_constant_folding=True)  # fmt: skip
    return path


def check_of(network, x):
    with torch.no_grad():
        return x.numpy(), network(x).numpy()


class Then(nn.Module):
    """A convolution and a ReLU before a function, and a convolution behind it."""

    def __init__(self, function, channels=4):
        super().__init__()
        self.first, self.function, self.last = nn.Conv2d(2, 4, 3), function, nn.Conv2d(channels, 3, 1)

    def forward(self, x):
        return self.last(self.function(torch.relu(self.first(x))))


class Joined(nn.Module):
    def forward(self, x):
        return torch.cat([x[:, :].relu() * 2, 1 - x], 1)


class Resized(nn.Module):
    def forward(self, x):
        return functional.interpolate(functional.avg_pool2d(x, 2), size=x.shape[2:], mode="bilinear")


MODULES = {
    "convolution": nn.Conv2d(4, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    "same": nn.Conv2d(4, 4, 4, padding="same"),
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
    "groups": nn.Conv2d(4, 4, 3, groups=2),
    "transposed": nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1),
    "transposed-groups": nn.ConvTranspose2d(4, 4, (2, 3), stride=2, groups=2, dilation=2),
    "batch-norm": nn.BatchNorm2d(4),
    "relu-norm": nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU6(), nn.BatchNorm2d(4)),
    "leaky": nn.Sequential(nn.Conv2d(4, 4, 1), nn.LeakyReLU(0.1)),
    "prelu": nn.Sequential(nn.Conv2d(4, 4, 1), nn.PReLU(4)),
    "maximum": nn.MaxPool2d(3, 2, 1),
    "average": nn.AvgPool2d(2),
    "average-padded": nn.AvgPool2d(3, 1, 1),
    "one": nn.AdaptiveAvgPool2d(1),
    "nearest": nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "corners": nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True),
    "joined": Joined(),
    "zeros": nn.ZeroPad2d((1, 2, 0, 3)),
    "dropout": nn.Sequential(nn.Dropout(), nn.Identity()),
}
CHANNELS = {"joined": 8}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_at_two_opsets(tmp_path, name):
    # The sizes are odd; the size that the first convolution makes of them fits.
    network, x = randomised(Then(MODULES[name], CHANNELS.get(name, 4))), torch.randn(2, 2, 13, 11)
    fixed = name in ("same", "average-padded")
    for opset in OPSETS:
        path = exported(network, x, tmp_path / "network.onnx", opset, (0,) if fixed else (0, 2, 3))
        assert relative_error(read_onnx(path).network, check_of(network, x)) < 1e-5


def test_pixel_shuffle_and_sizes_that_are_computed(tmp_path):
    for function, channels, x in ((nn.PixelShuffle(2), 1, torch.randn(1, 2, 7, 9)),
                                  (nn.PixelUnshuffle(2), 16, torch.randn(1, 2, 8, 10)),
                                  (Resized(), 4, torch.randn(2, 2, 10, 14))):  # fmt: skip
        network = randomised(Then(function, channels))
        axes = (0,) if channels == 16 else (0, 2, 3)
        path = exported(network, x, tmp_path / "network.onnx", axes=axes)
        assert relative_error(read_onnx(path).network, check_of(network, x)) < 1e-5


@pytest.mark.parametrize("opset", OPSETS)
def test_signals_and_features(tmp_path, opset):
    signals = nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=2, dilation=2), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.AvgPool1d(2),
        nn.ConvTranspose1d(4, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(21, 5), nn.BatchNorm1d(5), nn.ReLU(),
        nn.Linear(5, 3), nn.LogSoftmax(1),
    )  # fmt: skip
    features = nn.Sequential(nn.Linear(7, 5), nn.PReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2), nn.Sigmoid())
    for network, x in ((signals, torch.randn(3, 2, 14)), (features, torch.randn(3, 7))):
        path = exported(randomised(network), x, tmp_path / "network.onnx", opset, (0,))
        imported = read_onnx(path)
        assert relative_error(imported.network, check_of(network, x), imported.endings) < 1e-5
        assert len(imported.facts["endings"]) == 1


# --- Whole networks --------------------------------------------------------------------------------------------------


def normed(before, after, size=3, stride=1, groups=1):
    convolution = nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


class Residual(nn.Module):
    """A basic block of ResNet."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.first, self.second = normed(before, after, 3, stride), normed(after, after)
        self.skip = normed(before, after, 1, stride) if stride > 1 or before != after else nn.Identity()

    def forward(self, x):
        return functional.relu(self.second(functional.relu(self.first(x))) + self.skip(x))


def resnet(width=4, classes=5):
    """Like ResNet-18, narrow."""
    widths = [width, width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width]
    blocks = [Residual(*pair, 2 if pair[0] != pair[1] else 1) for pair in itertools.pairwise(widths)]
    stem = [normed(3, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, classes))


class Inverted(nn.Module):
    """An inverted residual block of MobileNetV2, whose sum goes on without a ReLU."""

    def __init__(self, before, after, stride):
        super().__init__()
        inner = 3 * before
        self.body = nn.Sequential(normed(before, inner, 1), nn.ReLU6(), normed(inner, inner, 3, stride, inner),
                                  nn.ReLU6(), normed(inner, after, 1))  # fmt: skip
        self.adds = stride == 1 and before == after

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet():
    blocks = [Inverted(4, 6, 1), Inverted(6, 6, 1), Inverted(6, 8, 2), Inverted(8, 8, 1), Inverted(8, 8, 1)]
    stem, head = [normed(3, 4, 3, 2), nn.ReLU6()], [normed(8, 16, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*stem, *blocks, *head, nn.Flatten(), nn.Dropout(), nn.Linear(16, 5), nn.Softmax(1))


class Denoiser(nn.Module):
    """A U-Net with max pooling, that takes off the noise it finds."""

    def __init__(self):
        super().__init__()
        self.down, self.inner = normed(1, 4), normed(4, 8)
        self.up, self.last = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x):
        skip = functional.relu(self.down(x))
        inner = functional.relu(self.inner(functional.max_pool2d(skip, 2)))
        return x - self.last(torch.cat([functional.relu(self.up(inner)), skip], 1))


NETWORKS = {"resnet": (resnet, (3, 33, 47)), "mobilenet": (mobilenet, (3, 32, 32)), "unet": (Denoiser, (1, 12, 20))}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network_is_exact_in_its_analog_form(tmp_path, name):
    make, shape = NETWORKS[name]
    network, x = randomised(make()), torch.rand(2, *shape)
    for opset in OPSETS:
        path = exported(network, x, tmp_path / "network.onnx", opset)
        converted = convert(path, normalization="none", check=check_of(network, x))
        assert converted.metadata["conversion"]["relative_error"] < 1e-5


@pytest.mark.parametrize("opset", [18, 21])
def test_the_exporter_that_follows_the_network(tmp_path, opset):
    pytest.importorskip("onnxscript")
    network, x, path = randomised(Denoiser()), torch.rand(2, 1, 12, 20), tmp_path / "network.onnx"
    shapes = (dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),)
    torch.onnx.export(network, (x,), path, dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False)
    imported = read_onnx(path)
    assert imported.facts["opset"] == opset
    assert relative_error(imported.network, check_of(network, x), imported.endings) < 1e-5


@pytest.mark.parametrize("name", ["mobilenet", "unet"])
def test_the_spiking_network_tends_to_the_analog_one(tmp_path, name):
    make, shape = NETWORKS[name]
    network, x = randomised(make()), torch.rand(3, *(min(size, 16) for size in shape))
    path = exported(network, x, tmp_path / "network.onnx")
    check = check_of(network, x)
    converted = convert(path, calibration=list(x.numpy()), percentile=100, check=check)
    assert converted.metadata["conversion"]["relative_error"] < 1e-4
    picture = x[0].numpy()
    wanted = forward(converted, picture)[0]
    errors = [np.abs(simulate(converted, picture, steps).output - wanted).max() for steps in (4, 64)]
    assert errors[1] < 0.03 * np.abs(wanted).max()
    assert errors[1] < 0.5 * errors[0]


# --- The example and the command -------------------------------------------------------------------------------------


@pytest.fixture
def export_torch(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import export_torch

    yield export_torch
    sys.modules.pop("export_torch", None)


def test_the_example_exports_what_the_command_converts(tmp_path, export_torch, capsys):
    pytest.importorskip("onnxscript")
    network = randomised(
        nn.Sequential(normed(1, 4), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 3), nn.Sigmoid())
    )
    export_torch.export(network, torch.rand(2, 1, 12, 10), tmp_path / "network.onnx", open_size=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.npz", "network.onnx"]
    model = tmp_path / "model.npz"
    arguments = ["convert", str(tmp_path / "network.onnx"), "-o", str(model), "--normalization", "none"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--check", str(tmp_path / "network.npz"), "--task", "other"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "outputs differ by" in printed
    assert "1 of 3 populations are SignedMultiThreshold" in printed
    assert "at the end, without neurons: Sigmoid" in printed
    facts = load_model(model).metadata["conversion"]
    assert facts["endings"] == ["Sigmoid"]
    assert facts["relative_error"] < 1e-5


@pytest.fixture
def only_recording(monkeypatch):
    """PyTorch cannot follow any network by torch.export."""
    export = torch.onnx.export

    def recording(*arguments, dynamo, **options):
        if dynamo:
            raise RuntimeError("cannot be followed")
        return export(*arguments, dynamo=False, **options)

    monkeypatch.setattr(torch.onnx, "export", recording)


def test_the_example_falls_back_to_recording(tmp_path, export_torch, only_recording, capsys):
    network = randomised(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    export_torch.export(network.train(), torch.rand(2, 3), tmp_path / "network.onnx")
    assert network.training
    assert "torch.export failed (RuntimeError: cannot be followed); recording" in capsys.readouterr().err
    convert(tmp_path / "network.onnx", normalization="none", check=tmp_path / "network.npz")


def test_the_example_as_a_command(tmp_path, export_torch, only_recording, monkeypatch, capsys):
    (tmp_path / "my_network.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["export_torch.py", "my_network:make", "2x9x8", "-o", "net.onnx"])
    export_torch.main()
    assert "net.onnx, and net.npz for --check" in capsys.readouterr().out
    assert convert("net.onnx", normalization="none", check="net.npz").input.channels == 2
    sys.modules.pop("my_network", None)


def test_weights_in_a_file_of_their_own(tmp_path):
    pytest.importorskip("onnxscript")
    network, x, path = randomised(resnet(2)), torch.rand(1, 3, 33, 35), tmp_path / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), path, dynamo=True, external_data=True, verbose=False)
    assert (tmp_path / "network.onnx.data").exists()
    convert(path, normalization="none", check=check_of(network, x))
