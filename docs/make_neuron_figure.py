"""Draw docs/neuron.png: what a multi-threshold neuron emits for a constant current, and its potential over steps.

python docs/make_neuron_figure.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spikeunet.engine import Conv2d, Input, IntegrateAndFire, MultiThreshold, Network, Neurons, Output, simulate

ONE = np.ones((1, 1, 1, 1))


def network(neuron) -> Network:
    """A neuron for each pixel."""
    return Network(
        [
            Input("x"),
            Conv2d("current", "x", ONE),
            Neurons("relu", "current", neuron),
            Conv2d("readout", "relu", ONE),
            Output("output", "readout"),
        ]
    )


def main() -> None:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    stairs, traces = figure.subplots(1, 2)
    currents = np.linspace(-0.3, 2, 800, dtype=np.float32)
    stairs.plot(currents, np.clip(currents, 0, None), color="0.75", label="ReLU")
    for steps in (1, 4):
        neuron = MultiThreshold((1.0, 0.5, 0.25), initial=0.125)
        emitted = simulate(network(neuron), currents[None, None], steps=steps).output.ravel()
        stairs.plot(currents, emitted, label=f"thresholds 1, 1/2, 1/4; T = {steps}")
    emitted = simulate(network(IntegrateAndFire(1.0, initial=0.5)), currents[None, None], steps=4).output.ravel()
    stairs.plot(currents, emitted, "--", label="integrate-and-fire; T = 4")
    stairs.set(xlabel="current", ylabel="mean emitted")
    stairs.legend(fontsize=7)
    picture = np.array([[[0.31, 0.87]]], np.float32)
    probes = {"relu": [(0, 0, 0), (0, 0, 1)]}
    result = simulate(network(MultiThreshold((1.0, 0.5, 0.25))), picture, steps=16, probes=probes)
    traces.plot(range(1, 17), result.traces["relu"]["membrane"], marker="o", markersize=3)
    traces.set(xlabel="step", ylabel="potential after the step", ylim=(0, None))
    traces.legend(["current 0.31", "current 0.87"], fontsize=7)
    figure.savefig(Path(__file__).parent / "neuron.png", dpi=110)


if __name__ == "__main__":
    main()
