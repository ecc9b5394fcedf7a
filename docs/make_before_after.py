"""Make docs/before_after.png and docs/colours.png: noisy, as `spikeunet denoise` leaves it, original.

spikeunet denoise examples/pictures/camera.png -o denoised.png --add-noise 25 --seed 0
python docs/make_before_after.py examples/pictures/camera.png denoised=denoised.png docs/before_after.png

C=examples/pictures/chelsea.png
spikeunet denoise $C -o fast.png --add-noise 25 --seed 0 --model denoise-colour-fast
spikeunet denoise $C -o colour.png --add-noise 25 --seed 0
python docs/make_before_after.py $C denoise-colour-fast=fast.png denoise-colour=colour.png docs/colours.png \\
    --side 250 --top 20 --left 90
"""

from __future__ import annotations

import click
import numpy as np
from PIL import Image, ImageDraw

from spikeunet.engine import add_noise, psnr, read_picture


@click.command()
@click.argument("clean")
@click.argument("restored", metavar="TITLE=PICTURE...", nargs=-1, required=True)
@click.argument("target")
@click.option("--side", default=340, show_default=True, help="Of the window, in pixels.")
@click.option("--top", default=40, show_default=True)
@click.option("--left", default=110, show_default=True)
def main(clean: str, restored: tuple[str, ...], target: str, side: int, top: int, left: int) -> None:
    """Put a window of the pictures side by side, with their PSNR."""
    original = read_picture(clean) / 255
    shown = {"noisy, sigma 25": add_noise(original, 25, 0)}
    for each in restored:
        title, path = each.split("=", 1)
        shown[title] = read_picture(path) / 255
    titles = {f"{title}: {psnr(original, picture):.2f} dB": picture for title, picture in shown.items()}
    titles["original"] = original
    sheet = Image.new("L" if original.ndim == 2 else "RGB", (len(titles) * (side + 8) - 8, side + 24), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (title, picture) in enumerate(titles.items()):
        window = np.round(np.clip(picture, 0, 1)[top : top + side, left : left + side] * 255).astype(np.uint8)
        sheet.paste(Image.fromarray(window), (index * (side + 8), 24))
        draw.text((index * (side + 8) + 4, 4), title, fill="black", font_size=14)
    sheet.save(target)


if __name__ == "__main__":
    main()
