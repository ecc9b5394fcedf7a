"""examples/train_spikingformer.py: its populations' gradients, and that what it writes is what the engine reads."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from published_spikingformer import random_state

from spikeunet.converters import read_spikingformer
from spikeunet.engine import simulate

pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra evaluate)")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra train)")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZES = ("--dim", "8", "--heads", "2", "--depth", "1", "--ratio", "2", "--threads", "1")


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(EXAMPLES))
    threads = torch.get_num_threads()
    try:
        yield __import__("train_spikingformer")
    finally:
        torch.set_num_threads(threads)
        sys.path.remove(str(EXAMPLES))
        for name in ("train_spikingformer", "spikingformer_network"):
            sys.modules.pop(name, None)


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
