"""STDP: filters on natural pictures, and which way digits move, by how motion is made into a still picture.

    python benchmarks/learning_stdp.py --out docs/learning_stdp --clips 600
    python benchmarks/learning_stdp.py --out docs/learning_stdp --clips 600 --only street --street CAMSEQ01/image

Filters: learnt from scikit-image's photographs behind differences of Gaussians, beside filters before learning.
To each filter, on minus off, a Gabor function is fitted; a table has the share of the variance that it explains, and
its orientation selectivity, 1 - circular variance of the answers to gratings of all orientations.
Clips: scikit-learn's digits, enlarged to 16x16, move one pixel a frame in one of four directions; digits of the test
clips are others than those of the clips to learn from. Filters learn without labels, a linear readout tells the
direction from pooled spikes; filters before learning (with thresholds that learnt) are the control. Several seeds, of
filters, clips and order.
Street: a real clip, a folder of frames in the order of their names, taken from a car. What is on the left moves to the
left, and the other way round where the clip is played backward. Cut-outs of 24x24 of both halves, forward or backward,
mirrored or not, so that no side and no sight tells the direction; the first two thirds of the frames are learnt from.
Needs the extras `plots` and `evaluate`.
"""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import click
import numpy as np
from _learning import pyplot
from scipy.optimize import least_squares
from skimage import color, data, io, transform

from spikeunet.engine.learning import read_data
from spikeunet.engine.learning.stdp import (
    StdpRule,
    difference_of_gaussians,
    latencies,
    random_filters,
    still_pictures,
)
from spikeunet.engine.learning.stdp.filters import StdpFilters, drawn_patches, pooled, readout
from spikeunet.engine.learning.stdp.model import front_times, read

PHOTOGRAPHS = ("camera", "coins", "moon", "rocket", "chelsea", "coffee", "brick", "grass", "gravel", "astronaut")
SIDE, FRAMES, SIZE = 5, 6, 24
AT_ONCE = StdpRule(window=1.0, wanted=0.0)
"""For a grid of optical flow. What moves as a whole has one speed, so all inputs of a patch spike at once: thresholds
that wait for a later time rise until nothing spikes; and inputs that are silent, which count as late, must lose."""
DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
ARMS = (
    ("raw", "late"), ("raw", "early"), ("signed", "late"), ("absolute", "early"), ("absolute", "late"),
    ("split", "early"),
    ("split", "late"), ("flow", "early"), ("flow", "late"),
)  # fmt: skip


def photographs():
    found = []
    for name in PHOTOGRAPHS:
        try:
            picture = np.asarray(getattr(data, name)())
        except (OSError, ModuleNotFoundError, ValueError):
            continue  # not bundled: it would have to be fetched
        gray = color.rgb2gray(picture[..., :3]) if picture.ndim == 3 else picture / picture.max()
        found.append((name, gray))
    return found


def natural_times(pictures):
    return [latencies(difference_of_gaussians(gray[None, None]), 0.02) for _, gray in pictures]


def local_patches(times, side, number, generator):
    """Patches whose earliest input spikes at 0: contrast is a matter of the patch, not of the picture."""
    patches = drawn_patches(times, side, number, generator)
    values = np.where(np.isfinite(patches), 1 - patches, 0)
    largest = values.max(axis=(1, 2, 3), keepdims=True)
    values = values[largest[:, 0, 0, 0] > 0.1] / largest[largest[:, 0, 0, 0] > 0.1]
    return latencies(values, 0.1)


def learn_natural(pictures, seed, side, number=32, patches=60_000, epochs=10):
    generator = np.random.default_rng(seed)
    filters = random_filters(generator, number, 2, side)
    first = StdpFilters(filters.weights.copy(), filters.thresholds.copy())
    rate, times = 1.0, natural_times(pictures)
    for _ in range(epochs):
        drawn = [local_patches(each, side, patches // epochs // len(times), generator) for each in times]
        drawn = np.concatenate(drawn)
        filters.learn(drawn[generator.permutation(len(drawn))], StdpRule(window=0.1, wanted=0.7), 0.05 * rate, rate)
        rate *= 0.7
    return first, filters


def gabor(parameters, rows, columns):
    amplitude, y, x, along, across, angle, frequency, phase = parameters
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = -(columns - x) * np.sin(angle) + (rows - y) * np.cos(angle)
    wave = np.cos(2 * np.pi * frequency * u + phase)
    return amplitude * np.exp(-((u / across) ** 2 + (v / along) ** 2) / 2) * wave


def gabor_fit(field):
    """Share of the variance that the best Gabor function explains."""
    side = field.shape[0]
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    best, total = np.inf, np.square(field - field.mean()).sum()
    low = [0, -side / 2, -side / 2, 0.8, 0.8, -np.pi, 0.05, -2 * np.pi]
    high = [4, side / 2, side / 2, 2 * side, side, 2 * np.pi, 0.35, 3 * np.pi]
    for angle in np.arange(4) * np.pi / 4:
        for phase in (0, np.pi / 2, np.pi, 1.5 * np.pi):
            start = [np.abs(field).max() + 0.1, 0, 0, side / 2, side / 3, angle, 1 / side, phase]
            found = least_squares(
                lambda p: (gabor(p, rows, columns) - field).ravel(), start, bounds=(low, high), max_nfev=60
            )
            best = min(best, 2 * found.cost)
    return 1 - best / total if total > 0 else 0.0


def selectivity(field):
    """1 - circular variance over orientations of the largest answer to gratings of any frequency and phase."""
    side = field.shape[0]
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    angles = np.arange(16) * np.pi / 16
    answers = []
    for angle in angles:
        place = columns * np.cos(angle) + rows * np.sin(angle)
        waves = [np.exp(2j * np.pi * frequency * place) for frequency in (0.1, 0.15, 0.2, 0.25)]
        answers.append(max(abs(((field - field.mean()) * wave).sum()) for wave in waves))
    answers = np.array(answers) ** 2
    return float(abs((answers * np.exp(2j * angles)).sum()) / answers.sum())


def draw_filters(path, learnt, first, side):
    plt = pyplot()
    figure, axes = plt.subplots(2, 1, figsize=(8, 2.8), layout="constrained")
    for axis, filters, title in ((axes[0], learnt, "learnt"), (axes[1], first, "before learning")):
        fields = filters.weights[:, 0] - filters.weights[:, 1]
        canvas = np.full((2 * (side + 1) + 1, 16 * (side + 1) + 1), np.nan)
        for index, field in enumerate(fields[:32]):
            top, left = divmod(index, 16)
            canvas[top * (side + 1) + 1 :, left * (side + 1) + 1 :][:side, :side] = field
        axis.imshow(canvas, cmap="gray", vmin=-1, vmax=1)
        axis.set_title(f"{title}: weights of on minus off", fontsize=10)
        axis.axis("off")
    figure.savefig(path, dpi=120)


def natural(out, seeds, side):
    pictures = photographs()
    print("photographs:", ", ".join(name for name, _ in pictures), flush=True)
    rows = []
    for seed in range(seeds):
        first, learnt = learn_natural(pictures, seed, side)
        if seed == 0:
            draw_filters(f"{out}_filters.png", learnt, first, side)
        for label, filters in (("learnt", learnt), ("before learning", first)):
            fields = filters.weights[:, 0] - filters.weights[:, 1]
            fits, choices = [gabor_fit(field) for field in fields], [selectivity(field) for field in fields]
            row = [label, seed, np.median(fits), np.mean(np.array(fits) > 0.7), np.median(choices)]
            rows.append(row)
            print("\t".join([str(row[0]), str(seed), *(f"{value:.3f}" for value in row[2:])]), flush=True)
    with open(f"{out}_filters.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filters", "seed", "median Gabor fit", "share of fits above 0.7", "median selectivity"])
        writer.writerows([*row[:2], *(round(float(value), 4) for value in row[2:])] for row in rows)


def moving_digits(pictures, number, generator):
    """Clips (N, FRAMES, SIZE, SIZE) of digits that move a pixel a frame, and the direction of each."""
    which = generator.integers(len(pictures), size=number)
    labels = generator.integers(4, size=number)
    clips = np.zeros((number, FRAMES, SIZE, SIZE))
    large = pictures.pictures[:, 0].repeat(2, axis=1).repeat(2, axis=2)
    room = SIZE - 16
    for index, (digit, label) in enumerate(zip(large[which], labels, strict=True)):
        down, right = DIRECTIONS[label]
        top, left = generator.integers(FRAMES // 2, room - FRAMES // 2 + 1, size=2)
        # Where the way begins does not tell whither it goes: the middle of the way has the same place for all.
        for frame in range(FRAMES):
            shift = frame - FRAMES // 2
            row, column = top + down * shift, left + right * shift
            clips[index, frame, row : row + 16, column : column + 16] = digit
    return clips, labels


def street_frames(folder):
    """(T, H, W) gray, a quarter of the size."""
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".png", ".jpg", ".tif"))
    return np.array(
        [transform.downscale_local_mean(color.rgb2gray(io.imread(path)[..., :3]), (4, 4)) for path in paths]
    )


def street_clips(frames, number, generator, length=4):
    """Clips (N, length, SIZE, SIZE), and whether what is seen moves to the right."""
    _, height, width = frames.shape
    clips, labels = np.zeros((number, length, SIZE, SIZE)), np.zeros(number, np.int64)
    edge = height // 6
    for index in range(number):
        first, row = generator.integers(len(frames) - length + 1), generator.integers(edge, height - SIZE - edge + 1)
        left, backward, mirrored = generator.integers(2, size=3)
        inward = generator.integers((width // 2 - SIZE) // 2 + 1)
        column = inward if left else width - SIZE - inward
        clip = frames[first : first + length, row : row + SIZE, column : column + SIZE]
        clip = clip[::-1] if backward else clip
        clips[index], labels[index] = clip[..., ::-1] if mirrored else clip, (not left) ^ backward ^ mirrored
    return clips, labels


def moving(clips, motion, kept={}):  # noqa: B006 - kept from call to call
    """Still pictures of clips by late fusion; optical flow is slow, and found once."""
    key = (id(clips), motion)
    if key not in kept:
        kept[key] = still_pictures(clips, motion, "late")
    return kept[key]


def accuracy(parts, motion, fusion, seed, learn, filters=32, patches=6, epochs=3):
    """Accuracy on test clips of filters that learnt, or of such whose thresholds alone did."""
    generator = np.random.default_rng((seed, 1))
    front = "contrast" if motion == "raw" else "plain"
    times, groups = [], []
    for clips, _ in parts:
        still = moving(clips, motion)
        # What early fusion is, see still_pictures.
        still = still if fusion == "late" else still.mean(axis=1, keepdims=True)
        groups.append(still.shape[1])
        values = still.reshape(-1, *still.shape[2:])
        if motion == "signed":
            # What does not change lies at one half; on and off channels tell which way it changes.
            front = "contrast"
        times.append(front_times(values, front, 0.05))
    # A flow's grid has few cells.
    side, threshold, pace, rule = (3, 4.0, 0.1, AT_ONCE) if motion == "flow" else (SIDE, 8.0, 1.0, StdpRule())
    found = random_filters(generator, filters, times[0].shape[1], side, threshold)
    begun = found.weights.copy()
    subset = times[0][generator.permutation(len(times[0]))[:2000]]
    for epoch in range(epochs):
        drawn = drawn_patches(subset, side, patches, generator)
        drawn = drawn[np.isfinite(drawn).any(axis=(1, 2, 3))]
        share = 0.8**epoch
        # Threshold and weights find each other; the control keeps its first weights.
        found.learn(drawn, rule, 0.1 * share if learn else 0.0, pace * share)
        if not learn:
            assert (found.weights == begun).all()
    features = []
    for each, group in zip(times, groups, strict=True):
        pooled_ = pooled(found.respond(each, inhibit=True)[0], 2)
        features.append(pooled_.reshape(-1, group, pooled_.shape[1]).sum(axis=1))
    fitted = readout(features[0], parts[0][1], 4, 0)
    return float((read(fitted, features[1]).argmax(axis=1) == parts[1][1]).mean())


def motion_parts(seeds, clips, learnt, tested, make):
    parts = []
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        parts.append((make(learnt, clips, generator), make(tested, clips // 2, generator)))
    return parts


def motion_table(path, parts, arms):
    seeds, rows = len(parts), []
    for motion, fusion in arms:
        row = [motion, fusion]
        for learn in (True, False):
            values = [accuracy(parts[seed], motion, fusion, seed, learn) for seed in range(seeds)]
            spread = statistics.stdev(values) if seeds > 1 else 0.0
            row += [statistics.mean(values), spread]
        rows.append(row)
        shown = " ± ".join(f"{100 * v:.1f}" for v in row[2:4]), " ± ".join(f"{100 * v:.1f}" for v in row[4:])
        print(f"{motion}\t{fusion}\tlearnt {shown[0]}\trandom {shown[1]}", flush=True)
    kept = earlier_rows(path) | {tuple(row[:2]): row for row in rows}
    rows = [kept[arm] for arm in ARMS if arm in kept]
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["motion", "fusion", "learnt", "deviation", "random weights", "deviation"])
        writer.writerows([*row[:2], *(round(value, 4) for value in row[2:])] for row in rows)
    return rows


def earlier_rows(path):
    """Those of an earlier run's table, by motion and fusion."""
    if not Path(path).exists():
        return {}
    with open(path, newline="") as stream:
        _, *rows = csv.reader(stream)
    return {tuple(row[:2]): [*row[:2], *map(float, row[2:])] for row in rows}


def draw_motion(path, rows):
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    places = np.arange(len(rows))
    for offset, column, label in ((-0.2, 2, "learnt"), (0.2, 4, "random weights")):
        heights, spreads = ([100 * row[index] for row in rows] for index in (column, column + 1))
        axis.bar(places + offset, heights, 0.38, yerr=spreads, capsize=3, label=label)
    axis.axhline(25, color="black", linewidth=0.8, linestyle=":", label="chance")
    axis.set_xticks(places, [f"{row[0]}\n{row[1]}" for row in rows], fontsize=8)
    axis.set(ylabel="test accuracy / %", ylim=(0, 100), title="direction of moving digits")
    axis.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--out", required=True, help="Beginning of the paths of plots and tables.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--side", default=7, show_default=True, help="Of filters on photographs.")
@click.option("--clips", default=800, show_default=True, help="To learn from; half as many to test with.")
@click.option("--motion", help="This one alone; other rows of the table stay.")
@click.option("--street", type=click.Path(exists=True, file_okay=False), help="Frames of a clip taken from a car.")
@click.option("--only", type=click.Choice(["filters", "motion", "street"]))
def main(out, seeds, side, clips, motion, street, only):
    arms = [arm for arm in ARMS if motion is None or arm[0] == motion]
    if only in (None, "filters"):
        natural(out, seeds, side)
    if only in (None, "motion"):
        parts = motion_parts(seeds, clips, *read_data("digits"), moving_digits)
        draw_motion(f"{out}_motion.png", motion_table(f"{out}_motion.csv", parts, arms))
    if street is not None and only in (None, "street"):
        frames = street_frames(street)
        learnt = 2 * len(frames) // 3
        parts = motion_parts(seeds, clips, frames[:learnt], frames[learnt:], street_clips)
        motion_table(f"{out}_street.csv", parts, arms)


if __name__ == "__main__":
    main()
