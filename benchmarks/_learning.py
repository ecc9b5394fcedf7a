"""What the benchmarks of training methods share: runs over seeds, their means and spreads, tables and plots."""

from __future__ import annotations

import csv
import statistics
import time
from dataclasses import dataclass

import click
import numpy as np

from spikeunet.engine.learning import LabelledPictures, method_named, read_data, train


@dataclass(frozen=True)
class Arm:
    """A way of training, as it is called in tables, and its settings."""

    label: str
    settings: dict


@dataclass
class Outcome:
    """Accuracies of an arm, one for each seed, and what a trainer was in the end."""

    arm: Arm
    accuracies: list
    seconds: list
    trainers: list

    @property
    def mean(self):
        return statistics.mean(self.accuracies)

    @property
    def spread(self):
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def text(self):
        return f"{100 * self.mean:.2f} ± {100 * self.spread:.2f} %"


def outcome_of(method, arm, data, seeds, threads=1):
    """Train an arm with each seed, and test it after the last epoch: no epoch is chosen by its test accuracy."""
    pictures, test = data
    found = Outcome(arm, [], [], [])
    for seed in range(seeds):
        trainer = method.trainer(pictures, method.settings(seed=seed, **arm.settings), threads)
        begin = time.perf_counter()
        train(trainer)
        found.seconds.append(time.perf_counter() - begin)
        found.accuracies.append(trainer.validate(test)["accuracy"])
        found.trainers.append(trainer)
        print(f"  {arm.label}, seed {seed}: {found.accuracies[-1]:.4f} in {found.seconds[-1]:.0f} s", flush=True)
    print(f"{arm.label}\t{found.text}\t{statistics.mean(found.seconds):.1f} s a run", flush=True)
    return found


def mixed_again(train_part, test):
    """Both parts of their sizes, drawn at random from all pictures: of digits, a writer may be in both."""
    pictures = np.concatenate([train_part.pictures, test.pictures])
    labels = np.concatenate([train_part.labels, test.labels])
    order = np.random.default_rng(0).permutation(len(labels))
    everything = LabelledPictures(pictures[order], labels[order], test.classes)
    return everything.part(slice(len(train_part))), everything.part(slice(len(train_part), None))


def outcomes_of(name, arms, text, seeds, pictures=None, mixed=False):
    """Data set and outcomes of all arms."""
    train_part, test = read_data(text)
    if mixed:
        train_part, test = mixed_again(train_part, test)
    if pictures is not None:
        train_part = train_part.spread(pictures)
    print(f"{text}: {len(train_part)} pictures to learn from, {len(test)} to test with, {seeds} seeds", flush=True)
    method = method_named(name)
    return (train_part, test), [outcome_of(method, arm, (train_part, test), seeds) for arm in arms]


def write_table(path, outcomes):
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["arm", "mean accuracy", "standard deviation", "seconds", "accuracies"])
        for each in outcomes:
            seconds = round(statistics.mean(each.seconds), 1)
            row = [each.arm.label, round(each.mean, 5), round(each.spread, 5), seconds]
            writer.writerow([*row, " ".join(f"{value:.4f}" for value in each.accuracies)])


def read_table(path):
    """Label, mean accuracy and standard deviation of each arm."""
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [(row["arm"], float(row["mean accuracy"]), float(row["standard deviation"])) for row in rows]


def pyplot():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


data_option = click.option("--data", default="digits", show_default=True, help="As of `spikeunet train`.")
seeds_option = click.option("--seeds", default=3, show_default=True)
out_option = click.option("--out", required=True, help="Path of the plot and the table, without a suffix.")
mixed_option = click.option("--mixed", is_flag=True, help="Split all pictures anew, at random.")
pictures_option = click.option("--pictures", type=int, help="Learn from so many alone, evenly from all.")
