"""Filters that learn digits without labels, by spike-timing-dependent plasticity, and a linear readout behind them:

    python examples/train_stdp.py

Takes some seconds. docs/learning.md explains the method; `spikeunet train stdp --data digits --side 3 --cells 2
--threshold 4 -o stdp.npz` does the same. Needs the extra `evaluate`, for the digits and the readout.
"""

from __future__ import annotations

import numpy as np

from spikeunet.engine.learning import read_data, train
from spikeunet.engine.learning.stdp import still_pictures
from spikeunet.engine.learning.stdp.training import StdpSettings, StdpTrainer

SHADES = " .:*#"


def main() -> None:
    pictures, test = read_data("digits")
    trainer = StdpTrainer(pictures, StdpSettings(epochs=3, side=3, cells=2, threshold=4.0))
    before = trainer.validate(test)["accuracy"]
    train(trainer, test, observe=lambda row: print(f"epoch {row['epoch']:.0f}: {row['validation_accuracy']:.2%}"))
    print(f"with the weights it began with, which are random: {before:.2%}")

    print("weights of some filters, on minus off:")
    fields = trainer.filters.weights[:8, 0] - trainer.filters.weights[:8, 1]
    for row in range(3):
        shaded = ("".join(2 * SHADES[round(2 + 2 * value)] for value in field[row]) for field in fields)
        print("  " + "   ".join(shaded))

    clip = np.stack([np.roll(test.pictures[0, 0], shift, axis=1) for shift in range(3)])[None]
    brighter, darker = still_pictures(clip, "split", "early")[0, 0]
    print(f"a digit that moves to the right becomes {brighter.sum():.1f} brighter in places, {darker.sum():.1f} darker")


if __name__ == "__main__":
    main()
