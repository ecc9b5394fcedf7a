"""The plots of `study.py`: one for each data set, score against steps and against accumulates, the ANN as a line."""

from __future__ import annotations

import math

from _study_tables import scores_by_arm

_COLORS = {
    ("multi-threshold", "connection"): "tab:blue",
    ("multi-threshold", "layer"): "tab:cyan",
    ("if", "connection"): "tab:red",
    ("if", "layer"): "tab:orange",
}
_SPAN = {"%": 25.0, "dB": 5.0}
"""How far below the ANN a plot goes down, so that the interesting part is not flattened by one step of IF."""


def draw(path, name, title, ann, entries, close):
    """Write the plot of a data set; converted networks are drawn through, fine-tuned ones dashed."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained", sharey=True)
    for arm, by_steps in scores_by_arm(entries).items():
        points = [by_steps[steps] for steps in sorted(by_steps)]
        style = {"color": _COLORS[arm.neuron, arm.normalization], "marker": "s" if arm.trained_for else "o"}
        style |= {"linestyle": "--" if arm.trained_for else "-", "markersize": 4, "label": arm.label}
        scores = [point.score for point in points]
        left.plot([point.steps for point in points], scores, **style)
        right.plot([point.means["accumulates_per_pixel"] / 1e3 for point in points], scores, **style)
    for axes in (left, right):
        axes.axhline(ann.score, color="black", linewidth=1, label="ANN")
        axes.axhspan(ann.score - close, ann.score, color="black", alpha=0.08, linewidth=0)
    _set_scale(left, right, title, ann, entries)
    left.set_title(name)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _set_scale(left, right, title, ann, entries):
    steps = sorted({entry.steps for entry in entries})
    left.set_xscale("log", base=2)
    left.set_xticks(steps, [str(number) for number in steps])
    left.minorticks_off()
    left.set(xlabel="time steps", ylabel=title)
    right.set_xscale("log")
    right.axvline(ann.means["dense_macs_per_pixel"] / 1e3, color="black", linestyle=":", linewidth=1)
    right.set_xlabel("thousand accumulates per pixel\n(dotted: the ANN's multiply-accumulates)")
    scores = [entry.score for entry in (ann, *entries) if not math.isnan(entry.score)]
    span = _SPAN[title.rpartition("/ ")[2]]
    lowest, highest = max(min(scores), ann.score - span), max(scores)
    margin = 0.04 * max(highest - lowest, 0.1)
    left.set_ylim(lowest - margin, highest + margin)
