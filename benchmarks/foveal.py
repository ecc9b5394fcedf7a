"""The foveal pit: a picture out of its first coefficients, and noisy digits with and without its filters.

    python benchmarks/foveal.py

Reconstruction: PSNR of scikit-image's `camera` (512x512) out of a share of the coefficients, for three grids of cells.

Noise: scikit-learn's digits, enlarged three times; a small network is trained on clean ones as SoftLIF rates and tested
with Gaussian noise on the enlarged pictures, by the neurons' rates, and by their spikes in 60 steps of 1 ms. Filters:
none; midget cells as a spiking layer of the network (`spikeunet train softlif --cells`); all four kinds, at each pixel
the largest answer; and the first tenth of midget coefficients in rank order. Both of the last are shown as pictures.
Of the digits the last 360 are for testing. Prints Markdown tables and writes `foveal.csv`, `foveal.md`,
`foveal_reconstruction.png` and `foveal_noise.png`. Needs the extras `plots` and `evaluate`.
"""

from __future__ import annotations

import csv
from pathlib import Path

import click
import numpy as np

from spikeunet.engine import Foveal, simulate
from spikeunet.engine.learning import LabelledPictures, read_data
from spikeunet.engine.learning.softlif import SoftLIFSettings, SoftLIFTrainer, filtered, rates
from spikeunet.engine.pictures.resizing import resize

SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
GRIDS = {
    "half a deviation apart (1, 1, 4, 5)": Foveal(8, 1, 1, 4, 5),
    "the study's (2, 5, 30, 30)": Foveal(8, 2, 5, 30, 30),
    "midget cells alone (1, 1)": Foveal(8, 1, 1, 0, 0),
}
NOISE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SPIKING = (0.0, 0.4)
"""Levels of noise at which spikes are counted, too: they take much longer than rates."""
ENLARGE = 3
EPOCHS = 20


def _positive(answers):
    """Answers from 0 on as pictures: the largest of clean digits come to about 1."""
    return np.clip(answers / 2, 0, 1)


def _all_kinds(pictures):
    return np.stack([_positive(Foveal(8, 1, 1, 1, 1).filtered(picture)) for picture in pictures])


def _first_tenth(pictures):
    cells = Foveal(8, 1, 1, 0, 0, share=0.1)
    return np.stack([cells.seen_by_network("picture", picture) for picture in pictures])


FILTERS = {
    "none": ("none", None),
    "off midget cells": ("off-midget", None),
    "all four kinds, the largest": ("none", _all_kinds),
    "first tenth of midget ranks": ("none", _first_tenth),
}


def reconstruction():
    """By grid: how many coefficients there are, and PSNR in dB at each share of them; and pictures out of the first."""
    from skimage.data import camera

    picture = camera() / 255.0
    found, seen = {}, {}
    for name, cells in GRIDS.items():
        ranked = cells.ranked(picture)
        counts = {share: round(share * len(ranked)) for share in SHARES}
        pictures = {share: ranked.picture(count)[0] for share, count in counts.items()}
        errors = [((each - picture) ** 2).mean() for each in pictures.values()]
        found[name] = len(ranked), [float(-10 * np.log10(error)) for error in errors]
        seen = seen or {f"{share:.0%}": pictures[share] for share in (0.01, 0.1, 1.0)}
        print(f"{name}: {len(ranked)} coefficients, {found[name][1][-1]:.2f} dB", flush=True)
    return found, seen


def enlarged(data):
    """Digits of three times the size, (N, 1, 24, 24)."""
    side = ENLARGE * data.shape[1]
    return np.moveaxis(resize(np.moveaxis(data.pictures[:, 0], 0, 2), side, side), 2, 0)[:, None]


def noisy_accuracies(train, test, name, seed):
    """Accuracy of rates at each level of noise; of spikes, by their mean and by a filtered readout, at some."""
    cells, prepare = FILTERS[name]
    prepare = prepare or (lambda pictures: np.clip(pictures, -8, 8))
    settings = SoftLIFSettings(epochs=EPOCHS, seed=seed, shift=1, cells=cells, clip=0.0)
    pictures = LabelledPictures(np.asarray(prepare(enlarged(train)), np.float32), train.labels, train.classes)
    trainer = SoftLIFTrainer(pictures, settings, threads=1)
    while not trainer.finished:
        trainer.step()
    network, clean = trainer.network(), enlarged(test)
    found = {}
    for level in NOISE:
        noise = np.random.default_rng([seed, 1]).standard_normal(clean.shape)
        shown = np.asarray(prepare((clean + level * noise).astype(np.float32)), np.float32)
        found[level, "rate"] = _right(rates(network, shown), test.labels)
        if level in SPIKING:
            result = simulate(network, shown, settings.steps, record=("readout",), threads=1)
            found[level, "spikes"] = _right(result.output, test.labels)
            found[level, "spikes, filtered"] = _right(filtered(result.readout, 0.1, settings.dt), test.labels)
            found[level, "spikes, 30 steps"] = _right(result.readout[:, settings.steps // 2 - 1], test.labels)
    print(f"{name}, seed {seed}: " + ", ".join(f"{key} {100 * value:.1f}" for key, value in found.items()), flush=True)
    return found


def _right(outputs, labels):
    return float((outputs[:, :, 0, 0].argmax(axis=1) == labels).mean())


def spread(values):
    """Mean and standard deviation, in percent."""
    return f"{100 * np.mean(values):.1f} ± {100 * (np.std(values, ddof=1) if len(values) > 1 else 0):.1f}"


def table(rows, head):
    """Markdown."""
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)])


def tables(pictures, noise):
    """All three of them."""
    shares = table(
        [[name, f"{count:,}", *(f"{value:.2f}" for value in values)] for name, (count, values) in pictures.items()],
        ["cells", "coefficients", *(f"{share:.1%}" for share in SHARES)],
    )
    levels = table(
        [
            [name, *(spread([seed[level, "rate"] for seed in seeds]) for level in NOISE)]
            for name, seeds in noise.items()
        ],
        ["filter", *(f"sigma {level}" for level in NOISE)],
    )
    kinds = ("rate", "spikes", "spikes, filtered", "spikes, 30 steps")
    spikes = table(
        [
            [name, str(level), *(spread([seed[level, kind] for seed in seeds]) for kind in kinds)]
            for name, seeds in noise.items()
            for level in SPIKING
        ],
        ["filter", "sigma", *kinds],
    )
    return f"{shares}\n\n{levels}\n\n{spikes}"


def plot_reconstruction(found, pictures, path):
    """PSNR against the share, and what it looks like."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained", width_ratios=(1.5, 1, 1, 1))
    for name, (_, values) in found.items():
        axes[0].plot([100 * share for share in SHARES[1:]], values[1:], "o-", markersize=3, label=name)
    axes[0].axhline(next(iter(found.values()))[1][0], color="black", linestyle=":", linewidth=1, label="the mean alone")
    axes[0].set(xlabel="coefficients kept in %", ylabel="PSNR in dB", xscale="log")
    axes[0].legend(fontsize=7)
    for each, (share, picture) in zip(axes[1:], pictures.items(), strict=True):
        each.imshow(picture, cmap="gray", vmin=0, vmax=1)
        each.set_title(f"{share} of them")
        each.axis("off")
    figure.savefig(path, dpi=110)


def plot_noise(noise, path):
    """Accuracy of rates as lines, of spikes as crosses; bands are one standard deviation."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for index, (name, seeds) in enumerate(noise.items()):
        values = 100 * np.array([[seed[level, "rate"] for level in NOISE] for seed in seeds])
        mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=min(1, len(values) - 1))
        axes.plot(NOISE, mean, color=f"C{index}", label=name)
        axes.fill_between(NOISE, mean - deviation, mean + deviation, color=f"C{index}", alpha=0.15, linewidth=0)
        spikes = [100 * np.mean([seed[level, "spikes"] for seed in seeds]) for level in SPIKING]
        axes.plot(SPIKING, spikes, "x", color=f"C{index}")
    axes.set(xlabel="sigma of the noise; lines: rates, crosses: spikes in 60 steps", ylabel="accuracy in %")
    axes.legend()
    figure.savefig(path, dpi=110)


def _pyplot():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def write_csv(pictures, noise, path):
    """Every figure."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("what", "name", "seed", "share or sigma", "kind", "value"))
        for name, (_, values) in pictures.items():
            for share, value in zip(SHARES, values, strict=True):
                writer.writerow(("reconstruction", name, "", share, "psnr", value))
        for name, seeds in noise.items():
            for seed, found in enumerate(seeds):
                writer.writerows(("noise", name, seed, level, kind, value) for (level, kind), value in found.items())


@click.command()
@click.option("--seeds", default=3, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(seeds, out):
    """Reconstruct, train and test."""
    train, test = read_data("digits")
    out.mkdir(parents=True, exist_ok=True)
    pictures, seen = reconstruction()
    plot_reconstruction(pictures, seen, out / "foveal_reconstruction.png")
    noise = {name: [] for name in FILTERS}
    for seed in range(seeds):
        for name, found in noise.items():
            found.append(noisy_accuracies(train, test, name, seed))
        # What there is, should the next seed take too long.
        write_csv(pictures, noise, out / "foveal.csv")
        plot_noise(noise, out / "foveal_noise.png")
        (out / "foveal.md").write_text(tables(pictures, noise) + "\n")
    print(tables(pictures, noise))


if __name__ == "__main__":
    main()
