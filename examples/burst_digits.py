"""Turn a network with max pooling into burst neurons, and see how few steps they need.

    python examples/burst_digits.py

Takes about half a minute. The network is trained by the package itself, as one of rectified activations: `dsr` without
time steps, with thresholds that nothing reaches. docs/learning.md has more. Needs the extra `evaluate`, for the digits.
"""

from __future__ import annotations

from spikeunet.converters import convert
from spikeunet.engine import BurstNeuron, forward, simulate
from spikeunet.engine.learning import read_data, train
from spikeunet.engine.learning.dsr import DsrSettings, DsrTrainer


def main() -> None:
    pictures, test = read_data("digits")
    rectified = {"steps": 0, "threshold": 1e6, "train_thresholds": False}
    settings = DsrSettings(convolutions=(8, 16), pool="max", epochs=10, rate=3e-3, shift=1, **rectified)
    trainer = DsrTrainer(pictures, settings)
    train(trainer, test, observe=lambda row: print(f"epoch {row['epoch']:2.0f}: {row['validation_accuracy']:.2%}"))
    network, shown = trainer.network(), test.pictures[:200]

    def right(output) -> float:
        return float((output[..., 0, 0].argmax(axis=-1) == test.labels[:200]).mean())

    print(f"as an artificial network: {right(forward(network, shown)[0]):.1%}")
    seen = list(pictures.pictures[:256])
    for gamma in (1, 5):
        neuron = BurstNeuron(1 / gamma, gamma)
        spiking = convert(network, calibration=seen, normalization="layer", percentile=99.9, neuron=neuron)
        readout = simulate(spiking, shown, 32, record=("readout",)).readout
        found = ", ".join(f"{right(readout[:, steps - 1]):.1%} in {steps}" for steps in (2, 4, 8, 32))
        print(f"up to {gamma} spikes a step: {found} steps")


if __name__ == "__main__":
    main()
