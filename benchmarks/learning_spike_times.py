"""Exact spike times: accuracy over seeds, how a grid of time converges to them, and what it costs at equal accuracy.

    python benchmarks/learning_spike_times.py --out docs/learning_spike_times_digits --mixed
    python benchmarks/learning_spike_times.py --data mnist=FOLDER --layers 300 --epochs 12 --batch 64 --shift 1 \\
        --out docs/learning_spike_times_mnist

Each seed (of first weights and order) is tested after the last epoch. The first seed's network is then run on the
test pictures in continuous time and on grids whose steps halve; both compiled, on one thread, the best of three runs.
A grid runs until the last picture is decided, which nobody knows beforehand. `--mixed` deals digits out at random in
place of the split by writers. Prints tables, writes one and a plot. Needs the extra `plots`.
"""

from __future__ import annotations

import csv
import time

import _learning as common
import click
import numpy as np
from _learning import Arm

from spikeunet.engine.learning import LabelledPictures, method_named, read_data
from spikeunet.engine.learning.spike_times import simulate_grid, simulate_times
from spikeunet.engine.learning.spike_times.gradients import latency

STEPS = tuple(2.0**-power for power in range(1, 15))
EQUAL = 0.001
"""Accuracy that a grid may lack and still count as equal."""
COSTLY = 400
"""Pictures that the finest grids are run on: their work grows without an end."""


def mixed(data):
    train, _ = data
    pictures, labels = (np.concatenate([getattr(p, n) for p in data]) for n in ("pictures", "labels"))
    order = np.random.default_rng(0).permutation(len(labels))
    everything = LabelledPictures(pictures[order], labels[order], train.classes)
    return everything.part(slice(len(train))), everything.part(slice(len(train), None))


def best_of(function, times=3):
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        result = function()
        found.append(time.perf_counter() - begin)
    return result, min(found)


def decided(result, labels):
    """Accuracy by the first spike; a tie goes to the first neuron, no spike is wrong."""
    last = result.times[-1]
    return float(((last.argmin(axis=1) == labels) & np.isfinite(last).any(axis=1)).mean())


def compare(network, test):
    """Rows (step, mean error, accuracy, seconds, operations, share decided alike); continuous time first, step 0."""
    times, labels = latency(test.pictures), test.labels
    simulate_times(network, times[:8], 1)  # compiles
    exact, seconds = best_of(lambda: simulate_times(network, times, 1))
    first = exact.times[-1].min(axis=1)
    duration = float(first[np.isfinite(first)].max())
    rows = [(0.0, 0.0, decided(exact, labels), seconds, exact.operations, 1.0)]
    print(f"continuous\taccuracy {rows[0][2]:.4f}\t{seconds:.3f} s\t{exact.operations:,} operations", flush=True)
    simulate_grid(network, times[:8], 0.25, duration, 1)
    for step in STEPS:
        few = slice(None) if step > 2.0**-10 else slice(COSTLY)
        grid, seconds = best_of(
            lambda step=step, few=few: simulate_grid(network, times[few], step, duration + step, 1),
            3 if step > 0.005 else 1,
        )
        both = np.isfinite(grid.times[-1]) & np.isfinite(exact.times[-1][few])
        error = float(np.abs(grid.times[-1][both] - exact.times[-1][few][both]).mean()) if both.any() else np.nan
        right = decided(grid, labels[few])
        alike = float((grid.times[-1].argmin(axis=1) == exact.times[-1][few].argmin(axis=1)).mean())
        share = len(times) / len(times[few])
        rows.append((step, error, right, seconds * share, int(grid.operations * share), alike))
        print(
            f"step {step:.6f}\terror {error:.2e}\taccuracy {right:.4f}\t{rows[-1][3]:.3f} s\t{rows[-1][4]:,}",
            flush=True,
        )
    return rows, duration


def draw(path, rows, title):
    plt = common.pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained")
    steps, errors, accuracies, seconds, _, _ = np.array(rows[1:]).T
    fine = (steps <= 2.0**-5) & np.isfinite(errors)
    slope = np.polyfit(np.log(steps[fine]), np.log(errors[fine]), 1)[0]
    left.loglog(steps, errors, "o-", label=f"mean error, slope {slope:.2f}")
    left.loglog(steps, steps * errors[-1] / steps[-1], "--", color="gray", label="proportional to the step")
    left.set(xlabel="step of the grid", ylabel="error of the outputs' spike times", title=title)
    left.legend(fontsize=8)
    whole = steps > 2.0**-10  # others saw some of the pictures alone
    right.semilogx(seconds[whole], 100 * accuracies[whole], "o-", label="grid, steps halved")
    for place in np.flatnonzero(whole)[::2]:
        right.annotate(
            f"1/{1 / steps[place]:.0f}",
            (seconds[place], 100 * accuracies[place]),
            fontsize=7,
            xytext=(3, -9),
            textcoords="offset points",
        )
    right.semilogx([rows[0][3]], [100 * rows[0][2]], "*", markersize=13, color="crimson", label="continuous time")
    right.set(xlabel="seconds for the test pictures", ylabel="test accuracy / %")
    right.legend(fontsize=8, loc="lower right")
    right.xaxis.set_minor_formatter("")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return slope


def first_grid(rows, good):
    """The coarsest grid that is good, as all finer ones are."""
    found = None
    for row in reversed([row for row in rows[1:] if row[0] > 2.0**-10]):
        if not good(row):
            break
        found = row
    return found


def report(rows):
    exact = rows[0]
    rules = (
        (f"accuracy equal within {100 * EQUAL:g} points", lambda row: row[2] >= exact[2] - EQUAL),
        ("999 of 1000 pictures decided alike", lambda row: row[5] >= 0.999),
        ("spike times within 0.01 on average", lambda row: row[1] <= 0.01),
        ("spike times within 0.002 on average", lambda row: row[1] <= 0.002),
    )
    for text, good in rules:
        grid = first_grid(rows, good)
        if grid is None:
            print(f"{text}: no grid tried")
            continue
        print(
            f"{text}: from a step of 1/{1 / grid[0]:.0f} on; a grid takes {grid[3] / exact[3]:.2f} times the time and "
            f"{grid[4] / exact[4]:.2f} times the operations of continuous time",
            flush=True,
        )


@click.command()
@common.data_option
@common.seeds_option
@common.out_option
@common.pictures_option
@click.option("--layers", default="100", show_default=True)
@click.option("--epochs", default=20, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--shift", default=0, show_default=True)
@click.option("--mixed", "mix", is_flag=True, help="Deal out all pictures at random.")
def main(data, seeds, out, pictures, layers, epochs, batch, shift, mix):
    parts = mixed(read_data(data)) if mix else read_data(data)
    if pictures is not None:
        parts = parts[0].part(slice(pictures)), parts[1]
    print(f"{data}: {len(parts[0])} pictures to learn from, {len(parts[1])} to test with, {seeds} seeds", flush=True)
    widths = tuple(map(int, layers.split(",")))
    base = {"layers": widths, "epochs": epochs, "batch": batch, "shift": shift}
    trained = common.outcome_of(method_named("spike-times"), Arm("spike times", base), parts, seeds)
    for each in trained.trainers:
        figures = each.validate(parts[1])
        print("\t".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)
    ann = {"layers": widths, "epochs": epochs, "batch": batch, "shift": shift, "steps": 0, "rate": 3e-3}
    common.outcome_of(method_named("dsr"), Arm("ANN, clipped", ann), parts, seeds)
    rows, duration = compare(trained.trainers[0].network(), parts[1])
    slope = draw(f"{out}.png", rows, f"{data.partition('=')[0]}, full connections {layers}")
    print(f"errors fall with the step to the power {slope:.2f}; a run lasts {duration:.2f}")
    report(rows)
    with open(f"{out}.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", "mean error of spike times", "accuracy", "seconds", "operations", "decided alike"])
        writer.writerows(rows)
    common.write_table(f"{out}_accuracy.csv", [trained])


if __name__ == "__main__":
    main()
