"""Train a spiking network on scikit-learn's digits by its spike representation, and run it in the engine:

    python examples/train_dsr.py

Takes seconds. docs/learning.md explains the method; `spikeunet train dsr --data digits -o digits.npz` does the same.
Needs the extra `evaluate`, for the digits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from spikeunet.engine import classify, load_model, simulate
from spikeunet.engine.learning import read_data, train
from spikeunet.engine.learning.dsr import DsrSettings, DsrTrainer


def main() -> None:
    pictures, test = read_data("digits")
    trainer = DsrTrainer(pictures, DsrSettings(steps=5, layers=(64, 64), epochs=15, rate=3e-3))
    train(trainer, test, observe=lambda row: print(f"epoch {row['epoch']:2.0f}: {row['validation_accuracy']:.2%}"))
    thresholds = [float(trainer.parameters[f"neurons{index}.threshold"][0]) for index in (1, 2)]
    print(f"thresholds: {', '.join(f'{each:.2f}' for each in thresholds)}, from 1")

    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder, "digits.npz"))
        network = load_model(Path(folder, "digits.npz"))
    result = simulate(network, test.pictures, steps=5, record=("spikes",))
    counted = trainer.spikes(test.pictures)
    same = all(
        np.array_equal(result.spikes[f"neurons{index}"][..., 0, 0], fired.spikes * np.float32(fired.value))
        for index, fired in enumerate(counted, start=1)
    )
    print(f"the engine's spikes are {'exactly those' if same else 'not those'} that training counted")
    print(f"{result.total_accumulates / len(test):,.0f} accumulates a digit")
    found = classify(test.pictures[0, 0], network)
    print(f"a {test.labels[0]} is taken for a {found.name} ({found.probabilities[found.label]:.0%})")


if __name__ == "__main__":
    main()
