"""Draw the folders of the engine and a picture's way through them: docs/architecture.png.

python docs/make_architecture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BOUND = "bound layers: gathered, averaged,\nfrom values, summed; plans,\npacked weights, choice of kernels"
ORDERS = "bands/, currents/, memory/, tiles/"
DESCRIBE = [
    ("graph/", "nodes, synapses, network"),
    ("layers/", "one file a kind"),
    ("neurons/", "one file a model"),
    ("files/", "model file"),
]
BIND = [("binding/", BOUND), ("kernels/", "compiled functions on arrays")]
RUN = [
    ("simulation/", ORDERS),
    ("samples/", "pixels that never meet"),
    ("increments/", "what has changed alone"),
    ("inputs/   results/", "events, states, counts"),
    ("operations/   testing/", "ledger; the specification"),
]
STAGES = {
    "describe": (0.03, "#dbe9f6", DESCRIBE),
    "bind, once": (0.36, "#e5f2dc", BIND),
    "run": (0.69, "#fbe7d3", RUN),
}
WIDTH, BELOW = 0.27, "threads/   memory.py   lazy.py   kernel_cache/: below everything"
WAY = ["picture", "encoded", "events", "currents", "spikes", "readout", "picture"]


def box(axes, place, size, colour, title, text=""):
    """A box with a title and a line or two."""
    axes.add_patch(
        FancyBboxPatch(place, *size, boxstyle="round,pad=0.006,rounding_size=0.012", fc=colour, ec="#555555")
    )
    middle = place[0] + size[0] / 2
    lines = text.count("\n") + 1 if text else 0
    top = place[1] + size[1] / 2 + 0.021 * lines
    axes.text(middle, top, title, ha="center", va="center", family="monospace", weight="bold", size=11)
    if text:
        axes.text(middle, top - 0.026, text, ha="center", va="top", size=8.5, linespacing=1.3)


def arrow(axes, start, end):
    """An arrow."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=16, color="#333333", lw=1.3))


def main():
    figure, axes = plt.subplots(figsize=(10, 5.6))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    for stage, (left, colour, folders) in STAGES.items():
        axes.text(left + WIDTH / 2, 0.975, stage, ha="center", va="top", size=13)
        height = 0.60 / len(folders)
        for number, (folder, text) in enumerate(folders):
            box(axes, (left, 0.90 - (number + 1) * height), (WIDTH, height - 0.03), colour, folder, text)
    for left in (0.312, 0.642):
        arrow(axes, (left, 0.595), (left + 0.042, 0.595))
    box(axes, (0.03, 0.20), (0.94, 0.065), "#eeeeee", BELOW)
    places = [0.07 + number * 0.86 / (len(WAY) - 1) for number in range(len(WAY))]
    for number, (place, word) in enumerate(zip(places, WAY, strict=True)):
        axes.text(place, 0.09, word, ha="center", va="center", size=10.5)
        if number:
            arrow(axes, (places[number - 1] + 0.058, 0.09), (place - 0.058, 0.09))
    axes.text(0.5, 0.02, "currents and spikes: again for each layer", ha="center", size=8.5, style="italic")
    figure.savefig(Path(__file__).with_name("architecture.png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
