"""PSNR and SSIM of rainy pictures, of the derainer, of the one without attention and of the ANN twin, with operations.

    python benchmarks/deraining.py --pictures CBSD68 --every 6 --side 256

The shipped network, the same without attention (`derain-small-plain`) and the artificial twin of equal size
(`derain-small-twin`), which lie in a checkout's `models`, see the pictures of a folder, none of which they were trained
on, with three intensities of rain, whose seed is the picture's index in the order of names. Pictures are clipped and
measured on the 0-255 scale without rounding. Prints a Markdown table and writes `deraining.csv`, a line for each
picture.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from spikeunet.engine import Network, add_rain, forward, load_model, simulate
from spikeunet.engine.pictures.metrics import psnr, ssim
from spikeunet.engine.pictures.padding import crop, pad_to_multiple
from spikeunet.engine.pictures.picture_files import read_picture
from spikeunet.engine.pictures.rain import INTENSITIES

FIELDS = ("picture", "rain", "method", "psnr", "ssim", "operations_per_pixel", "millijoules", "seconds")
METHODS = {"spiking": "derain-small", "without attention": "derain-small-plain", "ANN twin": "derain-small-twin"}
TWIN = "ANN twin"


def derained(network: Network, rainy: np.ndarray, *, analog: bool) -> tuple[np.ndarray, float, float, float]:
    """The picture without rain, operations for each pixel, millijoules, and seconds (NaN of the analog network)."""
    padded, origin = pad_to_multiple(rainy.transpose(2, 0, 1), network.size_multiple)
    steps = 1 if analog else network.metadata["steps"]
    run = simulate(network, np.ascontiguousarray(padded[:, :8, :8] if analog else padded), steps=steps)
    output = forward(network, padded)[0] if analog else run.output
    pixels = run.output[0].size if analog else rainy.shape[0] * rainy.shape[1]
    energy = run.operations.energy()
    count, joules = (sum(run.dense_macs.values()), energy.dense) if analog else (run.total_accumulates, energy.spiking)
    scale = rainy.shape[0] * rainy.shape[1] / pixels
    restored = np.clip(rainy - crop(output, origin, rainy.shape[:2]).transpose(1, 2, 0), 0, 1)
    return restored, count / pixels, 1e3 * joules * scale, np.nan if analog else run.seconds


def middle(picture: np.ndarray, side: int | None) -> np.ndarray:
    """The middle of a picture, no higher and no wider than `side`."""
    if side is None:
        return picture
    top, left = (max(size - side, 0) // 2 for size in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def measure(networks: dict[str, Network], path: Path, seed: int, side: int | None) -> Iterator[dict[str, Any]]:
    """Rows of one picture."""
    clean = middle(read_picture(path), side) / 255.0
    for intensity in INTENSITIES:
        rainy = add_rain(clean, intensity, seed)
        versions = {"rainy": (rainy, 0.0, 0.0, np.nan)}
        versions |= {name: derained(each, rainy, analog=name == TWIN) for name, each in networks.items()}
        for method, (picture, *costs) in versions.items():
            scores = psnr(clean, picture), ssim(clean, picture)
            yield dict(zip(FIELDS, (path.name, intensity, method, *scores, *costs), strict=True))


def table(rows: list[dict[str, Any]]) -> str:
    """Means: a line for each intensity, PSNR / SSIM in each column; below, what a picture takes."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = ["| rain | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    for intensity in INTENSITIES:
        cells = [_mean(rows, method, ("psnr", "ssim"), intensity) for method in methods]
        lines.append(f"| {intensity} | " + " | ".join(f"{db:.2f} / {similar:.4f}" for db, similar in cells) + " |")
    costs = [_mean(rows, method, FIELDS[5:]) for method in methods]
    lines.append("| operations per pixel | " + " | ".join(f"{each[0] / 1e3:.1f} k" for each in costs) + " |")
    lines.append("| energy, mJ | " + " | ".join(f"{each[1]:.1f}" for each in costs) + " |")
    lines.append("| seconds | " + " | ".join("" if np.isnan(each[2]) else f"{each[2]:.1f}" for each in costs) + " |")
    return "\n".join(lines)


def _mean(
    rows: list[dict[str, Any]], method: str, fields: tuple[str, ...], intensity: str | None = None
) -> list[float]:
    found = [row for row in rows if row["method"] == method and intensity in (None, row["rain"])]
    return [float(np.mean([row[field] for row in found])) for field in fields]


@click.command()
@click.option("--pictures", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Take each Nth picture.")
@click.option("--side", type=click.IntRange(min=16), metavar="N", help="Take middles of NxN pixels.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("deraining.csv"), show_default=True)
def main(pictures: Path, every: int, side: int | None, out: Path) -> None:
    """Measure, print the table and write the CSV file."""
    networks = {method: load_model(name) for method, name in METHODS.items()}
    rows: list[dict[str, Any]] = []
    paths = sorted(path for path in pictures.iterdir() if path.is_file())
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        for seed, path in list(enumerate(paths))[::every]:
            for row in measure(networks, path, seed, side):
                rows.append(row)
                writer.writerow(row)
            stream.flush()
    print(table(rows))


if __name__ == "__main__":
    main()
