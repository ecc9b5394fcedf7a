"""Train neurons that spike once, in continuous time, on scikit-learn's digits, and run them without a grid of time:

    python examples/train_spike_times.py

Takes seconds. docs/learning.md explains the method; `spikeunet train spike-times --data digits -o times.npz` does the
same. Needs the extra `evaluate`, for the digits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from spikeunet.engine.learning import read_data, train
from spikeunet.engine.learning.spike_times import load_times_network, simulate_grid, simulate_times
from spikeunet.engine.learning.spike_times.gradients import latency
from spikeunet.engine.learning.spike_times.training import SpikeTimesSettings, SpikeTimesTrainer


def main() -> None:
    pictures, test = read_data("digits")
    trainer = SpikeTimesTrainer(pictures, SpikeTimesSettings(epochs=10))
    train(trainer, test, observe=lambda row: print(f"epoch {row['epoch']:2.0f}: {row['validation_accuracy']:.2%}"))
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder, "times.npz"))
        network = load_times_network(Path(folder, "times.npz"))

    times = latency(test.pictures)
    exact = simulate_times(network, times)
    last = exact.times[-1]
    print(f"the first spike decides: {(last.argmin(axis=1) == test.labels).mean():.2%}")
    print(f"{exact.operations / len(test):,.0f} operations a digit, one spike a neuron at most")
    for step in (1 / 16, 1 / 128):
        grid = simulate_grid(network, times, step, 4.0).times[-1]
        both = np.isfinite(grid) & np.isfinite(last)
        print(f"a grid with a step of 1/{1 / step:.0f} is {(grid[both] - last[both]).mean():.4f} late on average")


if __name__ == "__main__":
    main()
