"""Make docs/derained.png: a rainy picture, what `spikeunet derain` makes of it, and the original.

The picture is examples/pictures/rocket.png (SpaceX, CC0).

spikeunet derain examples/pictures/rocket.png -o derained.png --add-rain heavy
python docs/make_derained.py examples/pictures/rocket.png derained.png docs/derained.png
"""

from __future__ import annotations

import click
import numpy as np
from PIL import Image, ImageDraw

from spikeunet.engine import add_rain, psnr, read_picture

SIDE = 320
TOP, LEFT = 107, 150


@click.command()
@click.argument("clean")
@click.argument("derained")
@click.argument("target")
def main(clean: str, derained: str, target: str) -> None:
    """Put a window of the three pictures side by side, with the PSNR of the whole ones."""
    original = read_picture(clean) / 255
    rainy, restored = add_rain(original, "heavy", 0), read_picture(derained) / 255
    titles = {
        f"heavy rain: {psnr(original, rainy):.2f} dB": rainy,
        f"derained: {psnr(original, restored):.2f} dB": restored,
        "original": original,
    }
    sheet = Image.new("RGB", (len(titles) * (SIDE + 8) - 8, SIDE + 24), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (title, picture) in enumerate(titles.items()):
        window = np.round(picture[TOP : TOP + SIDE, LEFT : LEFT + SIDE] * 255).astype(np.uint8)
        sheet.paste(Image.fromarray(window), (index * (SIDE + 8), 24))
        draw.text((index * (SIDE + 8) + 4, 4), title, fill="black", font_size=14)
    sheet.quantize(192, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
