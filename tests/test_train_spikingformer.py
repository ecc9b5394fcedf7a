"""examples/train_spikingformer.py: its populations' gradients, and that what it writes is what the engine reads."""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import pytest
from example_modules import example_modules
from published_spikingformer import random_state

from spikeunet.converters import read_spikingformer
from spikeunet.engine import simulate

pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra evaluate)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

SIZES = ("--dim", "8", "--heads", "2", "--depth", "1", "--ratio", "2", "--threads", "1")


@pytest.fixture(scope="module")
def script():
    threads = torch.get_num_threads()
    try:
        with example_modules("train_spikingformer") as modules:
            yield modules.train_spikingformer
    finally:
        torch.set_num_threads(threads)


class Heaviside(torch.autograd.Function):
    """A step forward, the slope of a sigmoid backward."""

    @staticmethod
    def forward(context, distance):
        context.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(context, gradient):
        (distance,) = context.saved_tensors
        sigmoid = torch.sigmoid(4 * distance)
        return gradient * 4 * sigmoid * (1 - sigmoid)


@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_gradients_of_a_population(script, threshold):
    """Those of automatic differentiation, the reset detached."""
    random = torch.Generator().manual_seed(0)
    given = (2 * torch.randn(4, 200, generator=random, dtype=torch.float64)).requires_grad_()
    direction = torch.randn(4, 200, generator=random, dtype=torch.float64)
    v, spikes = torch.zeros(200, dtype=torch.float64), []
    for current in given:
        v = v + (current - v) / 2
        spikes.append(Heaviside.apply(v - threshold))
        v = v * (1 - spikes[-1].detach())
    torch.stack(spikes).backward(direction)
    single = given.detach().float().requires_grad_()
    found = script.Spikes.apply(single, threshold, torch.float32)
    found.backward(direction.float())
    np.testing.assert_array_equal(found.detach().numpy(), torch.stack(spikes).detach().numpy())
    np.testing.assert_allclose(single.grad.numpy(), given.grad.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_kernels_on_a_cpu(script, threshold, monkeypatch):
    """Spikes of the plain computation, bit for bit; gradients but for the series of cosh. Seven currents at a time."""
    module = sys.modules["spikingformer_network"]
    monkeypatch.setattr(module, "BLOCK", 7)
    random = torch.Generator().manual_seed(1)
    given = (2 * torch.randn(4, 60, generator=random)).requires_grad_()
    given.data[:, :2], direction = threshold, torch.randn(4, 60, generator=random)
    wanted = script.Spikes.apply(given, threshold, torch.float32)
    wanted.backward(direction)
    x, spikes, gradient = given.detach().numpy(), np.full((4, 60), 2, np.float32), np.zeros((4, 60), np.float32)
    module._spikes_on_cpu.py_func(x, spikes, np.float32(threshold))
    arrays = (x, direction.numpy(), gradient)
    module._gradient_on_cpu.py_func(*arrays, np.float32(threshold), np.float32(module.SLOPE))
    np.testing.assert_array_equal(spikes, wanted.detach().numpy())
    np.testing.assert_allclose(gradient, given.grad.numpy(), rtol=0, atol=2e-4)


def test_beginning_with_the_twin(script, monkeypatch):
    """Were populations what the scales take them for, ReLU of what exceeds the threshold, both would answer alike."""
    module, twin = sys.modules["spikingformer_network"], script.Spikingformer(1, 10, 16, 2, 2, 2, 0)
    random = torch.Generator().manual_seed(2)
    for norm in (each for each in twin.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        norm.eps = 1e-12
        norm.weight.data.uniform_(0.5, 2, generator=random)
        norm.bias.data.normal_(0, 0.5, generator=random)
    twin.head.weight.data.normal_(0, 1, generator=random)
    x = torch.rand(20, 1, 16, 16, generator=random)
    twin.train()(x)
    spiking = script.Spikingformer(1, 10, 16, 2, 2, 2, 1)
    script.start_from_twin(spiking, twin, x)
    for norm in (each for each in spiking.modules() if isinstance(each, torch.nn.BatchNorm2d)):
        norm.eps = 1e-12

    def idealised(population, currents):
        above = float(population.steps and population.threshold == 1)
        return torch.relu(currents - above)

    monkeypatch.setattr(module.Population, "forward", idealised)
    with torch.no_grad():
        np.testing.assert_allclose(spiking.train()(x), twin.train()(x), rtol=0, atol=1e-3)


def test_pictures_to_train_and_to_validate_with(script):
    """Evenly of those that aren't for the test, whose order may be that of the classes; none of them twice."""
    is_test = np.arange(100) % 5 == 4

    def split(*options):
        return script.split(is_test, script.parsed(["--data", "digits", "--out", "x", *options]))

    training, test = split()
    np.testing.assert_array_equal(training, np.flatnonzero(~is_test))
    np.testing.assert_array_equal(test, np.flatnonzero(is_test))
    training, test = split("--pictures", "20")
    np.testing.assert_array_equal(training, np.flatnonzero(~is_test)[::4])
    np.testing.assert_array_equal(test, np.flatnonzero(is_test))
    training, validation = split("--pictures", "20", "--validate")
    assert sorted([*training, *validation]) == list(np.flatnonzero(~is_test))
    with pytest.raises(ValueError, match="--pictures 81: 80 are there"):
        split("--pictures", "81")
    with pytest.raises(ValueError, match="--validate needs training pictures that --pictures leaves out"):
        split("--validate")


def test_epochs_are_counted(script):
    """Twin, twin once more and spiking network, both from the twin; those from it for as many epochs."""
    arguments = ["--data", "digits", "--out", "x", "--epochs", "3"]
    found = script.stages(script.parsed([*arguments, "--from-twin", "2"]), 0)
    assert [(each["name"], each["epochs"], each["from_twin"]) for each in found] == [
        ("twin", 3, False),
        ("twin", 2, True),
        ("spikingformer", 2, True),
    ]
    found = script.stages(script.parsed(arguments), 0)
    assert [(each["name"], each["epochs"]) for each in found] == [("twin", 3), ("spikingformer", 3)]
    with pytest.raises(ValueError, match="--from-twin needs --epochs"):
        script.stages(script.parsed([*arguments[:4], "--from-twin", "2"]), 0)


@pytest.mark.slow
def test_twin_goes_on_as_long(script, tmp_path):
    """Of --from-twin: the compiled kernels, bfloat16, and a log of all three trainings."""
    arguments = ["--data", "digits", "--out", str(tmp_path), "--pictures", "200", "--batch", "50", "--epochs", "1"]
    options = ["--from-twin", "2", "--numba", "--half", "--validate"]
    try:
        script.train_both(script.parsed([*arguments, *options, *SIZES]))
    finally:
        script.Spikes.on_cpu = False
    log = json.loads((tmp_path / "log.json").read_text("utf-8"))
    steps = {name: log[name]["steps"] for name in ("twin", "continued twin", "spikingformer")}
    assert steps == {"twin": 4, "continued twin": 8, "spikingformer": 8}
    assert set(log["twin"]["accuracy"]) == {"validation", "train"}


@pytest.mark.slow
def test_what_is_written_is_read(script, tmp_path):
    """Weights of a few steps of training, under the published names; the engine puts out what PyTorch does."""
    arguments = ["--data", "digits", "--out", str(tmp_path), "--minutes", "1", "--max-steps", "2", "--settle", "250"]
    args = script.parsed([*arguments, *SIZES])
    script.train_both(args)
    log = json.loads((tmp_path / "log.json").read_text("utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.json", "spikingformer.npz", "twin.npz"]
    assert log["twin"]["parameters"] == log["spikingformer"]["parameters"]
    with np.load(tmp_path / "spikingformer.npz") as archive:
        arrays = dict(archive)
    unread = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "num_batches_tracked")
    published = random_state(dim=8, depth=1, classes=10, channels=1)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: array.shape for name, array in published.items() if not name.endswith(unread)
    }
    model = script.Spikingformer(1, 10, 8, 2, 1, 2, 4)
    model.load_state_dict(script.stored(str(tmp_path), "spikingformer"), strict=False)
    pictures, _, is_test, natural = script.read_data("digits")
    assert not natural
    shown = np.float32(pictures[is_test][:20]) / np.float32(255)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(shown)).numpy()
    found = simulate(read_spikingformer(arrays, 2), shown, 4).output[:, :, 0, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_training_ends_in_time(script, tmp_path):
    arguments = ["--data", "digits", "--out", str(tmp_path), "--minutes", "0", "--max-steps", "1"]
    with pytest.raises(TimeoutError, match="s are left, too few to train in"):
        script.train_both(script.parsed([*arguments, *SIZES]))
