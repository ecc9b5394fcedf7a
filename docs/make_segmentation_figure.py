"""Make docs/segmentation.png: what the shipped networks say about one test picture of each data set, over its label.

python docs/make_segmentation_figure.py DATA docs/segmentation.png

DATA holds the folders drive, em and camseq01. The photographs themselves are not shown: they are not ours to give.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw

from spikeunet.engine import read_picture, segment
from spikeunet.engine.datasets import find_dataset, read_example_labels
from spikeunet.engine.pictures.metrics import class_ious, confusion_matrix

HEIGHT, GAP, TITLE = 300, 8, 24
SHOWN = {"drive": ("segment-vessels", 0), "em": ("segment-membranes", 2), "camseq01": ("segment-street", 6)}
"""Network, and index of the picture in the test split."""
TITLES = {"drive": "vessels", "em": "membranes", "camseq01": "street"}


def panels(data: Path, name: str) -> tuple[Image.Image, Image.Image, str]:
    """Classes in their colours as the network and as the label have them, pixels that do not count black; a title."""
    model, index = SHOWN[name]
    dataset = find_dataset(f"{name}={data / name}", "segment")
    example = dataset.examples[index]
    segmented = segment(read_picture(example.picture), model)
    labels = read_example_labels(example, segmented.size, len(segmented.classes), dataset.void)
    palette = np.array([*segmented.palette, (0, 0, 0)], np.uint8)
    matrix = confusion_matrix(labels, segmented.labels, len(segmented.classes))
    if len(segmented.classes) == 2:
        (_, false_positive), (false_negative, true_positive) = matrix
        score = f"F1 {2 * true_positive / (2 * true_positive + false_positive + false_negative):.3f}"
    else:
        score = f"mean IoU {np.mean([iou for iou in class_ious(matrix) if iou is not None]):.3f}"
    found = np.where(labels < 0, len(segmented.classes), segmented.labels)
    pictures = [Image.fromarray(palette[each]) for each in (found, labels)]
    width = round(pictures[0].width * HEIGHT / pictures[0].height)
    network, label = (picture.resize((width, HEIGHT), Image.Resampling.LANCZOS) for picture in pictures)
    return network, label, f"{TITLES[name]}, T = {segmented.result.steps}: {score}"


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def main(data: Path, target: Path) -> None:
    """Put the three pairs side by side."""
    pairs = [panels(data, name) for name in SHOWN]
    width = sum(network.width + GAP for network, _, _ in pairs) - GAP
    sheet = Image.new("RGB", (width, 2 * (HEIGHT + TITLE)), "white")
    draw = ImageDraw.Draw(sheet)
    left = 0
    for network, label, title in pairs:
        for top, picture, text in ((0, network, title), (HEIGHT + TITLE, label, "label")):
            sheet.paste(picture, (left, top + TITLE))
            draw.text((left + 4, top + 4), text, fill="black", font_size=14)
        left += network.width + GAP
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    main()
