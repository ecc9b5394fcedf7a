"""Make docs/resampled.png: a picture made smaller, then enlarged by bicubic interpolation, LeRF's tables, a network.

The picture is examples/pictures/chelsea.png (Stefan van der Walt, CC0).

python docs/make_resampled.py examples/pictures/chelsea.png docs/resampled.png --tables lerf-g
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw

from spikeunet.engine import psnr, read_picture, resample
from spikeunet.engine.resampling import read_tables, resample_by_tables
from spikeunet.engine.tasks.resampling import DEFAULT_MODEL

SCALE, SIDE = 3, 240
TOP, LEFT = 60, 105


@click.command()
@click.argument("picture")
@click.argument("target")
@click.option("--tables", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
def main(picture: str, target: str, tables: Path) -> None:
    """Put a window of each side by side, with the PSNR of the whole ones."""
    original = read_picture(picture)
    height, width = (side // SCALE * SCALE for side in original.shape[:2])
    original = original[:height, :width]
    image = Image.fromarray(original).resize((width // SCALE, height // SCALE), Image.Resampling.BICUBIC)
    small = np.asarray(image)
    versions = {
        "bicubic": np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)),
        "LeRF-G": resample_by_tables(small, read_tables(tables), SCALE),
        DEFAULT_MODEL: resample(small, SCALE).picture,
    }
    titles = {f"{name}: {psnr(original / 255, found / 255):.2f} dB": found for name, found in versions.items()}
    titles["original"] = original
    sheet = Image.new("RGB", (len(titles) * (SIDE + 8) - 8, SIDE + 24), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (title, found) in enumerate(titles.items()):
        sheet.paste(Image.fromarray(found[TOP : TOP + SIDE, LEFT : LEFT + SIDE]), (index * (SIDE + 8), 24))
        draw.text((index * (SIDE + 8) + 4, 4), title, fill="black", font_size=14)
    sheet.quantize(192, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
