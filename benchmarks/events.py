"""A recording of an event camera through a small network: time by event and by step, beside dense simulations of it.

The network: Conv2d, neurons (integrate-and-fire unless `--neurons` names others), Conv2d with stride 2, the same, and a
readout of ten numbers. Steps are of 1 ms, all on one thread. Dense means that every pixel takes part at every step, in
PyTorch with torch.no_grad, and in snnTorch; registered models are not simulated there.

    python benchmarks/events.py RECORDING [--neurons lif] [--plot docs/events.png]

Without a recording: events drawn at random over a sixteenth of a sensor of 320x240, which at rest is silent elsewhere.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import time

import numpy as np

from spikeunet.engine import (
    AdaptiveLeakyIntegrateAndFire,
    AlphaNeuron,
    Conv2d,
    CurrentBasedLeakyIntegrateAndFire,
    Input,
    IntegrateAndFire,
    Lapicque,
    LeakyIntegrateAndFire,
    Network,
    Neurons,
    Output,
    bin_events,
    read_events,
    simulate,
)
from spikeunet.engine.neurons import LadderModel

WIDTHS = (8, 16, 10)
DECAY = 0.9

NEURONS = {
    "if": IntegrateAndFire(strict=True),
    "lif": LeakyIntegrateAndFire(decay=DECAY, strict=True),
    "lapicque": Lapicque(tau_mem=0.01, r=10.0),
    "current-based": CurrentBasedLeakyIntegrateAndFire(tau_syn=0.002, tau_mem=0.01, r=25.0),
    "adaptive": AdaptiveLeakyIntegrateAndFire(tau_mem=0.01, tau_adapt=0.02, r=10.0),
    "alpha": AlphaNeuron(tau_rise=0.002, tau_fall=0.01),
}


def make_network(encoder, model):
    """Weights are multiples of 1/64 with a mean a little above 0, so that a few percent of the neurons fire."""
    generator = np.random.default_rng(0)

    def weight(*shape):
        return (np.round(generator.normal(2, 12, shape)) / 64).astype(np.float32)

    first, second, last = WIDTHS
    return Network(
        [
            Input("input", 2, encoder),
            Conv2d("conv1", "input", weight(first, 2, 3, 3), padding=1),
            Neurons("spikes1", "conv1", model),
            Conv2d("conv2", "spikes1", weight(second, first, 3, 3), stride=2, padding=1),
            Neurons("spikes2", "conv2", model),
            Conv2d("last", "spikes2", weight(last, second, 1, 1)),
            Output("output", "last"),
        ]
    )


def dense_torch(network, frames):
    """The readout of a dense simulation in PyTorch."""
    import torch

    torch.set_num_threads(1)
    convolutions = [_layer(network[name]) for name in ("conv1", "conv2", "last")]
    first = second = total = 0.0
    decay = decay_of(network)
    with torch.no_grad():
        for frame in torch.from_numpy(frames)[:, None]:
            first = decay * first + convolutions[0](frame)
            spikes = (first > 1).float()
            first -= spikes
            second = decay * second + convolutions[1](spikes)
            spikes = (second > 1).float()
            second -= spikes
            total = total + convolutions[2](spikes)
    return (total[0] / len(frames)).numpy()


def dense_snntorch(network, frames):
    """The same with snnTorch's Leaky."""
    import snntorch
    import torch

    torch.set_num_threads(1)
    convolutions = [_layer(network[name]) for name in ("conv1", "conv2", "last")]
    leak = {"beta": decay_of(network), "reset_mechanism": "subtract", "reset_delay": False}
    neurons = [snntorch.Leaky(**leak) for _ in range(2)]
    states, total = [neuron.init_leaky() for neuron in neurons], 0.0
    with torch.no_grad():
        for frame in torch.from_numpy(frames)[:, None]:
            spikes, states[0] = neurons[0](convolutions[0](frame), states[0])
            spikes, states[1] = neurons[1](convolutions[1](spikes), states[1])
            total = total + convolutions[2](spikes)
    return (total[0] / len(frames)).numpy()


def decay_of(network):
    return getattr(network["spikes1"].model, "decay", 1.0)


def _layer(node):
    import torch

    layer = torch.nn.Conv2d(
        node.weight.shape[1], node.weight.shape[0], node.weight.shape[2:], node.stride, node.padding
    )
    layer.weight.data, layer.bias.data = torch.from_numpy(node.weight.copy()), torch.from_numpy(node.bias.copy())
    return layer


def medians(functions, rounds=7):
    """Median processor time of each function, by name, in turn: whatever else the machine does, all meet it alike."""
    for function in functions.values():
        function()  # may compile
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            begin = time.process_time()
            function()
            times[name].append(time.process_time() - begin)
    return {name: float(np.median(of_name)) for name, of_name in times.items()}


def frames_of(stream):
    return np.stack([stream.levels_at(step) for step in range(stream.steps)]).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", nargs="?")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--neurons", choices=NEURONS, default="if")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--plot")
    options = parser.parse_args()
    events = confined(options.steps) if options.recording is None else read_events(options.recording)
    shape = (2, -(-(int(events["y"].max()) + 1) // 8) * 8, -(-(int(events["x"].max()) + 1) // 8) * 8)
    events = events[events["t"] < events["t"][0] + 1000 * options.steps]
    print(f"{len(events)} events of {shape[2]}x{shape[1]} pixels in {options.steps} steps of 1 ms")
    binning = medians({"bin": lambda: bin_events(events, shape, time_step=1000)})["bin"]
    print(f"bin_events: {binning / len(events) * 1e9:.0f} ns an event")
    rows = [prepared(events, share, shape, options) for share in SHARES]
    runs = {(k, name): run for k, row in enumerate(rows) for name, run in row["runs"].items()}
    times = medians(runs, options.rounds)
    for k, row in enumerate(rows):
        row["times"] = {name: times[k, name] for name in row["runs"]}
        of_step = {name: f"{found / options.steps * 1e3:.3f} ms" for name, found in row["times"].items()}
        print(row["counts"], of_step)
    silent, whole = rows[0], rows[-1]
    more = whole["times"]["engine"] - silent["times"]["engine"]
    print(f"engine: {silent['times']['engine'] / options.steps * 1e3:.3f} ms a silent step, ", end="")
    print(f"and {more / whole['counts']['events'] * 1e9:.0f} ns an event")
    for name in DENSE.keys() & whole["times"].keys():
        ratios = [row["times"][name] / row["times"]["engine"] for row in (silent, whole)]
        print(f"{name}: {ratios[0]:.1f} times the engine's time in silence, {ratios[1]:.1f} times with all events")
    if options.plot:
        plot(rows, options.plot)


def confined(steps, of_step=200):
    """Events, so many at each step of 1 ms, that lie in a square in the midst of the sensor; one tells its size."""
    generator, count = np.random.default_rng(0), steps * of_step
    events = np.zeros(count + 1, [("t", "i8"), ("x", "i8"), ("y", "i8"), ("p", "i1")])
    events["t"][1:] = np.sort(generator.integers(0, 1000 * steps, count))
    events["x"][1:], events["y"][1:] = 120 + generator.integers(0, 80, count), 90 + generator.integers(0, 60, count)
    events["p"] = generator.integers(0, 2, count + 1)
    events["x"][0], events["y"][0] = 319, 239
    return events


def prepared(events, share, shape, options):
    """What is run with a part of the events, drawn at random, and what comes of it."""
    kept = events[np.random.default_rng(1).random(len(events)) < share]
    stream = bin_events(kept, shape, time_step=1000, start=int(events["t"][0]), steps=options.steps)
    model = NEURONS[options.neurons]
    network, frames = make_network(stream.encoder, model), frames_of(stream)
    runs = {"engine": functools.partial(simulate, network, stream, threads=1)}
    result = runs["engine"]()
    counts = {"events": len(stream.sites), "updates": result.operations.totals["neuron_updates"]}
    counts |= {"fired": result.operations.totals["events"], "synops": result.total_accumulates}
    for name, dense in DENSE.items():
        if share in (0, 1) and isinstance(model, LadderModel) and importlib.util.find_spec(name) is not None:
            runs[name] = functools.partial(dense, network, frames)
            counts[f"{name} differs"] = float(np.abs(dense(network, frames) - result.output).max())
    return {"counts": counts, "runs": runs}


DENSE = {"torch": dense_torch, "snntorch": dense_snntorch}
SHARES = (0.0, 0.02, 0.125, 0.25, 0.5, 1.0)


def plot(rows, path):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    names = {"engine": "spikeunet", "torch": "PyTorch, dense", "snntorch": "snnTorch, dense"}
    for name, label in names.items():
        shown = [row for row in rows if name in row["times"]]
        if shown:
            axes.plot([r["counts"]["events"] for r in shown], [r["times"][name] for r in shown], "o-", label=label)
    axes.set(xlabel="events of the recording", ylabel="processor time, s", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
