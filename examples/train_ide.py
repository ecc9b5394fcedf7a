"""Train a network with feedback on scikit-learn's digits, and watch it come to its equilibrium:

    python examples/train_ide.py

Takes seconds. docs/learning.md explains the method; `spikeunet train ide --data digits -o digits.npz` does the same.
Needs the extra `evaluate`, for the digits.
"""

from __future__ import annotations

import numpy as np

from spikeunet.engine import simulate
from spikeunet.engine.learning import read_data, train
from spikeunet.engine.learning.implicit_differentiation import IdeSettings, IdeTrainer


def main() -> None:
    pictures, test = read_data("digits")
    trainer = IdeTrainer(pictures, IdeSettings(steps=5, units=64, epochs=15, rate=3e-3))
    train(trainer, test, observe=lambda row: print(f"epoch {row['epoch']:2.0f}: {row['validation_accuracy']:.2%}"))
    print("steps   accuracy   distance to the equilibrium")
    for steps in (5, 10, 20, 40, 80):
        found = trainer.validate(test, steps)
        print(f"{steps:5}   {found['accuracy']:.2%}     {found['distance']:.4f}")
    result = simulate(trainer.network(), test.pictures[:50], steps=5, record=("spikes",))
    same = np.array_equal(result.spikes["neurons"][..., 0, 0], trainer.fired(test.pictures[:50]).spikes)
    print(f"the engine's spikes are {'exactly those' if same else 'not those'} that training counted")


if __name__ == "__main__":
    main()
