"""Write a neuron model of your own, run it in the engine, count it, fine-tune it, save it and check it:

    python examples/my_neuron.py

The neuron raises its threshold with every spike, and the rise wears off (Bellec et al., Long short-term memory and
learning-to-learn in networks of spiking neurons, NeurIPS 2018). docs/neurons.md explains each part. (A step that has an
argument `random`, in a model with a field `seed`, draws a random number: engine/neurons/escape_noise.py.)
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikeunet.engine import Conv2d, Input, Network, Neurons, Output, load_model, register_neuron, save_model, simulate
from spikeunet.engine.learning.finetune import Settings, Trainer


@register_neuron
@dataclass(frozen=True)
class AdaptiveThreshold:
    """Fires when v reaches threshold + rise * a; a counts the spikes and wears off by `decay` at each step."""

    threshold: float = 0.5
    rise: float = 0.25
    decay: float = 0.5
    initial: float = 0.0

    conserves_charge = True  # what is emitted is what the reset takes away

    def state(self):
        return {"v": self.initial, "a": 0.0}

    def levels(self):
        return 0.0, self.threshold

    @staticmethod
    def step(current, v, a, threshold, rise, decay):
        v += current
        if v >= threshold + rise * a:
            return 1, v - threshold, decay * a + 1
        return 0, v, decay * a

    @staticmethod
    def surrogate(current, v, a, threshold, rise, decay, width):
        """Derivatives of (value emitted, v, a) by (current, v, a): a triangle around the threshold."""
        distance = v + current - threshold - rise * a
        spike = max(0.0, 1 - abs(distance) / width) / width
        by_v = (threshold * spike, 1 - threshold * spike, spike)
        by_a = (-threshold * rise * spike, threshold * rise * spike, decay - rise * spike)
        return (by_v[0], by_v[0], by_a[0]), (by_v[1], by_v[1], by_a[1]), (by_v[2], by_v[2], by_a[2])


def small_network(model: AdaptiveThreshold) -> Network:
    """Two layers of neurons and a readout, with random weights."""
    generator = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return generator.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    return Network(
        [
            Input("picture"),
            Conv2d("conv1", "picture", weight(8, 1, 3, 3), np.full(8, 0.1), padding=1),
            Neurons("adaptive1", "conv1", model),
            Conv2d("conv2", "adaptive1", weight(8, 8, 3, 3), np.full(8, 0.1), padding=1),
            Neurons("adaptive2", "conv2", model),
            Conv2d("readout", "adaptive2", weight(1, 8, 3, 3), padding=1),
            Output("output", "readout"),
        ]
    )


class Blur:
    """Examples to learn from: noise, and the same noise blurred."""

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        noise = generator.random((4, 16, 16, 1), np.float32)
        return noise, (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3


def main() -> None:
    network = small_network(AdaptiveThreshold())
    picture = np.random.default_rng(1).random((1, 16, 16), np.float32)
    result = simulate(network, picture, steps=8, record=("spikes",))
    print("value emitted by one neuron:", result.spikes["adaptive1"][:, 0, 4, 4])
    print(result.operations)

    for method in ("flow", "bptt"):
        trainer = Trainer(network, Blur(), Settings(steps=4, method=method, iterations=30, rate=3e-3))
        losses = [trainer.step().loss for _ in range(30)]
        print(f"{method}: loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    tuned = trainer.result()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adaptive.npz"
        save_model(tuned, path)
        again = simulate(load_model(path), picture, steps=8)
    print("the same after saving and loading:", np.array_equal(again.output, simulate(tuned, picture, steps=8).output))

    try:
        from spikeunet.engine.testing import check_neuron
    except ImportError:
        print("pip install 'spikeunet[testing]' to check the neuron")
    else:
        check_neuron(AdaptiveThreshold())
        print("all checks of the neuron hold")


if __name__ == "__main__":
    main()
