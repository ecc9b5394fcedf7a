"""The tables of `study.py`: scores, costs, the steps that each arm needs, paired tests, and the answer in a line."""

from __future__ import annotations

import csv
import io
import itertools
import math

import numpy as np

from spikeunet.engine.files.atomic import atomic_write

TEN = "at least ten times fewer"
FACTORS = ("neuron", "normalization", "trained_for")
FIELDS = ("set", *FACTORS, "steps", "score", "below_ann", "events", "accumulates")
FIELDS += ("accumulates_per_pixel", "macs", "energy_joules", "pictures")


def scores_by_arm(entries):
    """{arm: {steps: entry}}."""
    table = {}
    for entry in entries:
        table.setdefault(entry.arm, {})[entry.steps] = entry
    return table


def steps_needed(by_steps, least):
    """Fewest steps with a score of at least `least`, and the most measured before them; (None, most) where none has."""
    before = 0
    for steps, entry in sorted(by_steps.items()):
        if entry.score >= least:
            return steps, before
        before = steps
    return None, before


def answer(name, title, ann, entries, close):
    """How many steps multi-threshold and IF need, both normalised connection by connection and not fine-tuned."""
    table = {
        arm.neuron: by_steps
        for arm, by_steps in scores_by_arm(entries).items()
        if arm.normalization == "connection" and not arm.trained_for
    }
    if set(table) != {"multi-threshold", "if"}:
        return f"{name}: the connection-wise arms of multi-threshold and IF are not both there"
    (few, few_before), (many, many_before) = (
        steps_needed(table[neuron], ann.score - close) for neuron in ("multi-threshold", "if")
    )
    unit = title.rpartition("/ ")[2].replace("%", "points")
    begin = (
        f"{name}: within {close:g} {unit} of the ANN ({title.partition(' /')[0]} {ann.score:.2f}), connection-wise: "
    )
    multi = f"multi-threshold {_needs(few, few_before)}, IF {_needs(many, many_before)}"
    return begin + multi + _ratio(few, few_before, many, many_before)


def _needs(steps, before):
    if steps is None:
        return f"not in {before} steps"
    return f"in {steps} step{'s' * (steps > 1)}" + (f" and not in {before}" if before else "")


def _ratio(few, few_before, many, many_before):
    """How many times fewer; only some numbers of steps were measured, so that it lies between two figures."""
    if few is None:
        return f"; {TEN}: not shown"
    least = (many_before + 1) / few
    if many is None:
        return f"; more than {many_before / few:g} times fewer; {TEN}: {'yes' if least >= 10 else 'not shown'}"
    most = many / (few_before + 1)
    verdict = "yes" if least >= 10 else "no" if most < 10 else f"perhaps, between {least:.3g} and {most:.3g}"
    return f"; {many / few:g} times fewer of those measured; {TEN}: {verdict}"


def score_table(title, ann, entries, close):
    """A line for each arm, a column for each number of steps, and the fewest steps that come close to the ANN."""
    table = scores_by_arm(entries)
    steps = sorted({number for by_steps in table.values() for number in by_steps})
    lines = [f"| {title} | " + " | ".join(f"T = {number}" for number in steps) + f" | within {close:g} from |"]
    lines += ["|---|" + "---|" * (len(steps) + 1), f"| ANN | {ann.score:.2f} |" + " |" * len(steps)]
    for arm, by_steps in table.items():
        cells = [f"{by_steps[number].score:.2f}" if number in by_steps else "" for number in steps]
        needed, most = steps_needed(by_steps, ann.score - close)
        cells.append(f"T = {needed}" if needed else f"not by {most}")
        lines.append(f"| {arm.label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cost_table(title, ann, entries):
    """A line for each arm and number of steps; means over the pictures."""
    lines = [f"| network | T | {title} | below the ANN | events | accumulates per pixel | energy / mJ |"]
    lines.append("|---|---|---|---|---|---|---|")
    per_pixel, energy = _thousands(ann.means["dense_macs_per_pixel"]), ann.means["energy_joules"] * 1e3
    lines.append(f"| ANN | | {ann.score:.2f} | | | {per_pixel} MACs | {energy:.3g} |")
    for entry in entries:
        mean = entry.means
        cells = (
            f"{entry.score:.2f}",
            f"{ann.score - entry.score:.2f}",
            f"{mean['events'] / 1e6:.3g} M",
            _thousands(mean["accumulates_per_pixel"]),
            f"{mean['energy_joules'] * 1e3:.3g}",
        )
        lines.append(f"| {entry.arm.label} | {entry.steps} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _thousands(value):
    return f"{value / 1e3:.4g} k"


def paired_tests(entries, steps):
    """Arms that differ in one thing, at the same numbers of steps: Wilcoxon's signed-rank test over pictures.

    Returns
    -------
    list of (what differs, first label, second label, T, n, median difference, p, p after Holm)
    """
    table = scores_by_arm(entries)
    found = []
    for (one, first), (other, second) in itertools.combinations(table.items(), 2):
        different = [
            name for name in ("neuron", "normalization", "trained_for") if vars(one)[name] != vars(other)[name]
        ]
        if len(different) != 1:
            continue
        for number in sorted({*steps} & {*first} & {*second}):
            count, median, p = signed_rank(first[number].by_picture, second[number].by_picture)
            found.append((different[0], one.label, other.label, number, count, median, p))
    adjusted = holm([row[-1] for row in found])
    return [(*row, p) for row, p in zip(found, adjusted, strict=True)]


def signed_rank(first, second):
    """Number of pictures that both have, median of first - second, and the two-sided p; 1 where none differs."""
    from scipy.stats import wilcoxon

    differences = np.array([first[name] - second[name] for name in first if name in second])
    if not differences.any():
        return len(differences), 0.0, 1.0
    return len(differences), float(np.median(differences)), float(wilcoxon(differences).pvalue)


def holm(values):
    """P values multiplied as in Holm's step-down procedure, so that all of them together hold their level."""
    order = np.argsort(values, kind="stable")
    count = len(values)
    adjusted, largest = [0.0] * count, 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (count - rank) * values[index]))
        adjusted[index] = largest
    return adjusted


def significance_table(rows, title):
    """A line for each paired test."""
    unit = title.rpartition("/ ")[2].replace("%", "points")
    lines = [f"| differs in | first | second | T | n | median difference / {unit} | p | p (Holm, {len(rows)} tests) |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for what, first, second, steps, count, median, p, adjusted in rows:
        cells = (f"{median:+.3f}", f"{p:.2g}", f"{adjusted:.2g}")
        lines.append(f"| {what} | {first} | {second} | {steps} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def csv_rows(name, ann, entries):
    """A line for each arm and number of steps, the ANN first, as values of FIELDS."""
    for entry in (ann, *entries):
        mean, arm = entry.means, entry.arm
        kind = ("ANN", "", "", "") if arm is None else (arm.neuron, arm.normalization, arm.trained_for, entry.steps)
        costs = [mean[column] for column in FIELDS[7:-1]]
        below = "" if arm is None or math.isnan(entry.score) else ann.score - entry.score
        yield (name, *kind, entry.score, below, *costs, len(entry.by_picture))


def picture_rows(name, ann, entries):
    """A line for each picture, arm and number of steps: (set, picture, arm, steps, score)."""
    for entry in (ann, *entries):
        arm = "ANN" if entry.arm is None else entry.arm.name
        for picture, score in entry.by_picture.items():
            yield (name, picture, arm, entry.steps or "", score)


def write_csv(path, header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())
