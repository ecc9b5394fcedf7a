"""Burst neurons and max pooling of spikes: accuracy against steps for several gammas and both poolings.

    python benchmarks/burst_pooling.py
    python benchmarks/burst_pooling.py --mnist FOLDER --cifar10 FOLDER

A small network with max pooling is trained in PyTorch with ReLUs, once for each seed, and converted to the burst
neurons of Li and Zeng (IJCAI 2022, arXiv 2204.13271): each layer's activations are divided by their percentile 99.9,
and neurons fire up to gamma times in a step. Their threshold is 1 for every gamma, or 1 / gamma, so that a burst
reaches as far as the one spike of gamma 1. All numbers of steps come from one run. Prints a Markdown table and writes
`burst_pooling.csv`, `burst_pooling.md` and `burst_pooling.png`. Needs the extras `train`, `plots` and `evaluate`.

Of MNIST there need be only the 10,000 test pictures; the first 8,000 are then trained on. Test pictures are those that
come next. Of the digits the first 1,197 are trained on and the other 600 tested.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import nn

from spikeunet.converters import convert
from spikeunet.engine import BurstNeuron, Conv2d, Input, MaxPool2d, Network, Neurons, Output, forward, simulate

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))
import small_pictures

GAMMAS = (1, 2, 5, 15)
RULES = {"1": lambda _: 1.0, "1 / gamma": lambda gamma: 1 / gamma}
"""How the threshold follows from gamma, in units of the percentile."""
VARIANTS = ("lateral-inhibition", "gated")
NAMES = {"lateral-inhibition": "lateral inhibition", "gated": "gated"}
WITHIN = 0.005
"""Half a point."""
CALIBRATION = 256
DIGITS_TEST = 600


@dataclass(frozen=True)
class Recipe:
    """Channels of pairs of convolutions between poolings, epochs, pictures to test with, and steps of a run."""

    widths: tuple[int, ...]
    epochs: int
    test: int
    steps: int


RECIPES = {
    "digits": Recipe((16, 32), 40, 600, 64),
    "MNIST": Recipe((8, 16), 8, 1000, 24),
    "CIFAR-10": Recipe((32, 64), 6, 500, 64),
}


def trained(data, recipe, seed):
    """Convolutions with ReLUs, max pooling behind each, and a linear layer, in PyTorch."""
    torch.manual_seed(seed)
    channels, side = data.train.pictures.shape[1:3]
    layers, side_left = [], side
    for width in recipe.widths:
        for inputs in (channels, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        channels, side_left = width, side_left // 2
    network = nn.Sequential(*layers, nn.Conv2d(channels, len(data.classes), side_left))
    pictures, labels = (torch.from_numpy(each) for each in (samples(data.train), data.train.labels))
    batches = recipe.epochs * (len(labels) // 64)
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=batches)
    for index in range(batches):
        if index % (len(labels) // 64) == 0:
            order = torch.randperm(len(labels))
        chosen = order[64 * (index % (len(labels) // 64)) :][:64]
        loss = nn.functional.cross_entropy(network(pictures[chosen])[:, :, 0, 0], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def samples(part):
    """(N, C, H, W) float32 from 0 to 1."""
    return part.pictures.astype(np.float32) / np.float32(255)


def described(network, channels):
    """The same as a graph."""
    nodes, source = [Input("picture", channels)], "picture"
    for index, layer in enumerate(network):
        name = f"{type(layer).__name__.lower()}{index}"
        if isinstance(layer, nn.Conv2d):
            arrays = (layer.weight.detach().numpy(), layer.bias.detach().numpy())
            nodes.append(Conv2d(name, source, *arrays, padding=layer.padding[0]))
        elif isinstance(layer, nn.MaxPool2d):
            nodes += [MaxPool2d(f"window{index}", source, 2), Neurons(name, f"window{index}")]
        else:
            nodes.append(Neurons(name, source))
        source = name
    return Network([*nodes, Output("output", source)])


def with_pooling(network, variant):
    """The network with another kind of max pooling."""
    return network.replace(
        [dataclasses.replace(n, variant=variant) if isinstance(n, MaxPool2d) else n for n in network.nodes]
    )


def accuracies(network, pictures, labels, steps):
    """Accuracy after each of 1 ... `steps` steps, and spikes for each picture up to there."""
    right, spikes = np.zeros(steps), np.zeros(steps)
    for start in range(0, len(labels), 50):
        result = simulate(network, pictures[start : start + 50], steps, record=("readout",))
        found = result.readout[:, :, :, 0, 0].argmax(axis=2)
        right += (found == labels[start : start + 50, None]).sum(axis=0)
        spikes += sum(layer.spikes.sum(axis=1) for layer in result.operations.neurons.values())
    return right / len(labels), spikes.cumsum() / len(labels)


def measured(name, data, recipe, seed):
    """Accuracy of the ANN, and by (gamma, rule, variant) the accuracies and spikes at each number of steps."""
    network = described(trained(data, recipe, seed), data.train.pictures.shape[1])
    test = data.test.part(slice(None, recipe.test))
    pictures, labels = samples(test), test.labels
    ann = float((forward(network, pictures)[0][:, :, 0, 0].argmax(axis=1) == labels).mean())
    seen = list(samples(data.train.part(slice(None, CALIBRATION))))
    found = {}
    for gamma, rule in [(gamma, rule) for rule in RULES for gamma in GAMMAS if gamma > 1 or rule == "1"]:
        neuron = BurstNeuron(RULES[rule](gamma), gamma)
        converted = convert(network, calibration=seen, normalization="layer", percentile=99.9, neuron=neuron)
        for variant in VARIANTS:
            found[gamma, rule, variant] = accuracies(with_pooling(converted, variant), pictures, labels, recipe.steps)
        reached = [steps_within(found[gamma, rule, variant][0], ann) for variant in VARIANTS]
        print(f"{name}, seed {seed}, ANN {ann:.2%}, gamma {gamma}, threshold {rule}: {reached}", flush=True)
    return ann, found


def steps_within(accuracy, ann):
    """The first number of steps from which on the accuracy stays within half a point of the ANN's; None if none.

    A last step alone does not say that it stays.
    """
    outside = np.flatnonzero(accuracy < ann - WITHIN - 1e-9)
    first = int(outside[-1]) + 2 if len(outside) else 1
    return first if first < len(accuracy) else None


def spread(values, form="{:.0f}"):
    """Mean and standard deviation, or in how many seeds there is no value."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return f"not reached in {len(values) - len(there)} of {len(values)}"
    deviation = np.std(there, ddof=1) if len(there) > 1 else 0
    return f"{form.format(np.mean(there))} ± {form.format(deviation)}"


def table(runs):
    """Markdown: steps until within half a point of the ANN, spikes by then, accuracy at some numbers of steps."""
    shown = (1, 2, 4, 8, 16, 24)
    columns = ["data", "pooling", "gamma", "threshold", "steps to within 0.5", "spikes a picture by then"]
    columns += [f"T = {number}" for number in shown]
    lines = [" | ".join(["", *columns, ""]).strip(), "|" + "---|" * len(columns)]
    for name, seeds in runs.items():
        ann = spread([100 * ann for ann, _ in seeds], "{:.1f}")
        lines.append(f"| {name} | ANN: {ann} |" + " |" * (len(columns) - 2))
        for variant in VARIANTS:
            for gamma, rule in [key[:2] for key in seeds[0][1] if key[2] == variant]:
                curves = [(ann, *found[gamma, rule, variant]) for ann, found in seeds]
                steps = [steps_within(accuracy, ann) for ann, accuracy, _ in curves]
                spikes = [None if at is None else sums[at - 1] for at, (_, _, sums) in zip(steps, curves, strict=True)]
                cells = [spread([100 * curve[1][number - 1] for curve in curves], "{:.1f}") for number in shown]
                cells = [name, NAMES[variant], str(gamma), rule, spread(steps, "{:.1f}"), spread(spikes), *cells]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(runs, path):
    """Accuracy against steps, a row for each data set, a column for each pooling; bands are one standard deviation."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    size = {"figsize": (11, 3.6 * len(runs)), "layout": "constrained"}
    figure, rows = plt.subplots(len(runs), 2, sharey="row", squeeze=False, **size)
    for row, (name, seeds) in zip(rows, runs.items(), strict=True):
        ann = 100 * np.mean([ann for ann, _ in seeds])
        for axes, variant in zip(row, VARIANTS, strict=True):
            axes.axhline(ann, color="black", linestyle=":", linewidth=1, label="ANN, half a point in gray")
            axes.axhspan(ann - 100 * WITHIN, ann, color="black", alpha=0.15, linewidth=0)
            for gamma, rule in [key[:2] for key in seeds[0][1] if key[2] == variant]:
                _draw(axes, 100 * np.array([found[gamma, rule, variant][0] for _, found in seeds]), gamma, rule)
            axes.set(title=f"{name}, {NAMES[variant]}", xlabel="time steps", xscale="log", ylim=(ann - 20, ann + 2))
            ticks = [2**power for power in range(7) if 2**power <= RECIPES[name].steps]
            axes.set_xticks(ticks, list(map(str, ticks)))
            axes.minorticks_off()
        row[0].set_ylabel("accuracy in %")
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path, dpi=110)


def _draw(axes, curves, gamma, rule):
    """One curve with its spread."""
    steps, mean = np.arange(1, curves.shape[1] + 1), curves.mean(axis=0)
    deviation = curves.std(axis=0, ddof=min(1, len(curves) - 1))
    look = {"color": f"C{GAMMAS.index(gamma)}", "linestyle": "-" if rule == "1" else "--"}
    axes.plot(steps, mean, label=f"gamma {gamma}, threshold {rule}", **look)
    axes.fill_between(steps, mean - deviation, mean + deviation, color=look["color"], alpha=0.15, linewidth=0)


def write_csv(runs, path):
    """Every accuracy."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("data", "seed", "ann", "pooling", "gamma", "threshold", "steps", "accuracy", "spikes"))
        for name, seeds in runs.items():
            for seed, (ann, found) in enumerate(seeds):
                for (gamma, rule, variant), curves in found.items():
                    for step, (accuracy, spikes) in enumerate(zip(*curves, strict=True), 1):
                        writer.writerow((name, seed, ann, variant, gamma, rule, step, accuracy, round(spikes, 1)))


def digits():
    """scikit-learn's, with more of them to test with."""
    found = small_pictures.digits()
    both = (
        np.concatenate([getattr(part, name) for part in (found.train, found.test)]) for name in ("pictures", "labels")
    )
    pictures = small_pictures.Pictures(*both)
    parts = (pictures.part(slice(None, -DIGITS_TEST)), pictures.part(slice(-DIGITS_TEST, None)))
    return small_pictures.Labelled(found.classes, *parts)


@click.command()
@click.option("--mnist", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cifar10", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seeds", default=3, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(mnist, cifar10, seeds, out):
    """Train, convert, and run for every number of steps."""
    torch.set_num_threads(1)
    data = {"digits": digits()}
    data |= {} if mnist is None else {"MNIST": small_pictures.mnist(mnist)}
    data |= {} if cifar10 is None else {"CIFAR-10": small_pictures.cifar10(cifar10)}
    out.mkdir(parents=True, exist_ok=True)
    runs = {name: [] for name in data}
    for seed in range(seeds):
        for name, part in data.items():
            runs[name].append(measured(name, part, RECIPES[name], seed))
        # What there is, should the next seed take too long.
        write_csv(runs, out / "burst_pooling.csv")
        plot(runs, out / "burst_pooling.png")
        (out / "burst_pooling.md").write_text(table(runs) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
