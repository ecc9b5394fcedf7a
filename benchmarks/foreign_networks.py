"""A network that others trained, converted out of the box, beside one that was trained to spike: vessels of DRIVE.

    python benchmarks/foreign_networks.py --wnet wnet_drive.pth --data FOLDER --steps 1,2,4

`wnet_drive.pth` is the checkpoint of agaldran/lwnet (experiments/wnet_drive), FOLDER holds DRIVE as `drive`. Each test
picture goes through the W-Net as its authors have it: RGB / 255, cropped to the box of the mask, resized to 512x512
bilinearly; the probability is resized back with cubic splines. The area under the ROC curve and F1 at a probability of
one half are of all pixels inside the masks together. Calibrated with every fourth training picture. Beside it
`segment-vessels`, which was fine-tuned with its spikes. Needs the extra `evaluate`. Prints and writes
`foreign_networks.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import _common as common
import click
import numpy as np
from PIL import Image
from skimage.transform import resize

from spikeunet.converters import convert
from spikeunet.engine import Network, forward, load_model, segment, simulate
from spikeunet.engine.datasets import find_dataset, read_example_labels
from spikeunet.engine.operations.energy import estimate_energy
from spikeunet.engine.pictures.picture_files import read_picture

SIDE = 512
"""Height and width of the pictures that the W-Net was trained on."""

SHIPPED = "segment-vessels"

CALIBRATION = 4
"""Every so many pictures of the training split calibrate."""


@dataclass(frozen=True)
class Retina:
    """A picture of DRIVE.

    Attributes
    ----------
    picture : (H, W, 3) uint8
    vessels : (H, W) int
        1 for vessels, 0 for none, -1 outside the mask.
    """

    picture: np.ndarray
    vessels: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns that the mask lies in."""
        inside = self.vessels >= 0
        sides = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        rows, columns = (slice(int(found[0]), int(found[-1]) + 1) for found in sides)
        return rows, columns

    @property
    def samples(self) -> np.ndarray:
        """(3, SIDE, SIDE) float32 as the W-Net reads it."""
        cropped = Image.fromarray(self.picture[self.box]).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return np.asarray(cropped, np.float32).transpose(2, 0, 1) / np.float32(255)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(H, W) float64 of the W-Net's logits, (1, SIDE, SIDE)."""
        found = np.zeros(self.vessels.shape)
        box = self.box
        found[box] = resize(1 / (1 + np.exp(-logits[0].astype(np.float64))), found[box].shape, order=3)
        return found


def retinas(data: Path, split: str) -> Iterator[Retina]:
    """Pictures of a split in the order of their names."""
    for example in find_dataset("drive", "segment", data, split).examples:
        picture = read_picture(example.picture)
        yield Retina(picture, read_example_labels(example, picture.shape[:2], 2))


class Tally:
    """Scores and costs of one method over all pictures."""

    def __init__(self) -> None:
        self._scores: list[np.ndarray] = []
        self._vessels: list[np.ndarray] = []
        self._pixels, self._accumulates, self._macs = 0, 0, 0

    def add(self, retina: Retina, probabilities: np.ndarray, accumulates: int, macs: int) -> None:
        """A picture's probabilities (H, W), and what they cost."""
        inside = retina.vessels >= 0
        self._scores.append(probabilities[inside])
        self._vessels.append(retina.vessels[inside])
        self._pixels += inside.size
        self._accumulates += accumulates
        self._macs += macs

    def scores(self) -> tuple[float, float]:
        """Area under the ROC curve, and F1."""
        from sklearn.metrics import f1_score, roc_auc_score

        scores, vessels = np.concatenate(self._scores), np.concatenate(self._vessels)
        return float(roc_auc_score(vessels, scores)), float(f1_score(vessels, scores > 0.5))

    def line(self, network: str, steps: str) -> str:
        """A line of the table; costs are for each pixel of the pictures as they are, not as the network reads them."""
        auc, f1 = self.scores()
        costs = (f"{count / self._pixels / 1e3:.1f} k" for count in (self._accumulates, self._macs))
        energy = 1e3 * estimate_energy(self._accumulates, self._macs) / len(self._scores)
        return "| " + " | ".join([network, steps, f"{auc:.4f}", f"{f1:.4f}", *costs, f"{energy:.2f}"]) + " |"


def wnet_of(path: Path, data: Path) -> Network:
    """The W-Net, converted with nothing but its file and pictures."""
    pictures = [retina.samples for retina in list(retinas(data, "train"))[::CALIBRATION]]
    return convert(path, calibration=pictures)


def add_wnet(network: Network, retina: Retina, steps: list[int], tallies: dict[str, Tally]) -> None:
    """The W-Net on a picture, as an ANN and at each number of steps of one run."""
    result = simulate(network, retina.samples, steps=max(steps), record=("readout",))
    output, _ = forward(network, retina.samples)
    tallies["ANN"].add(retina, retina.probabilities(output), 0, sum(result.dense_macs.values()))
    for number in steps:
        logits = result.readout[number - 1] / np.float32(number)
        accumulates = sum(int(node[:number].sum()) for node in result.accumulates.values())
        tallies[str(number)].add(retina, retina.probabilities(logits), accumulates, result.total_macs)


def add_shipped(network: Network, retina: Retina, tally: Tally) -> None:
    """The shipped segmentation on a picture, at its number of steps."""
    found = segment(retina.picture, network)
    accumulates = sum(int(node.sum()) for node in found.result.accumulates.values())
    tally.add(retina, found.probabilities[1], accumulates, found.result.total_macs)


@click.command()
@click.option("--wnet", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--steps", default="1,2,4", callback=common.whole_numbers, show_default=True)
@click.option("--pictures", type=int, help="Take the first so many test pictures.  [default: all]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("benchmarks/results"))
def main(wnet: Path, data: Path, steps: list[int], pictures: int | None, out: Path) -> None:
    """Measure the converted W-Net and the shipped network on DRIVE's test pictures."""
    out.mkdir(parents=True, exist_ok=True)
    converted, shipped = wnet_of(wnet, data), load_model(SHIPPED)
    tallies = {name: Tally() for name in ("ANN", *map(str, steps))}
    beside = Tally()
    for retina in list(retinas(data, "test"))[:pictures]:
        add_wnet(converted, retina, steps, tallies)
        add_shipped(shipped, retina, beside)
    lines = [
        "| network | T | AUC | F1 | accumulates per pixel | multiply-accumulates per pixel | energy / mJ |",
        "|---|---|---|---|---|---|---|",
        *(tally.line("W-Net", name) for name, tally in tallies.items()),
        beside.line(f"`{SHIPPED}`", str(shipped.metadata["steps"])),
    ]
    table = "\n".join(lines)
    (out / "foreign_networks.md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
