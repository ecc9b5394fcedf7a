"""Make docs/before_after.png: the noisy picture, what `spikeunet denoise` makes of it, and the original.

spikeunet denoise examples/pictures/camera.png -o denoised.png --add-noise 25 --seed 0
python docs/make_before_after.py examples/pictures/camera.png denoised.png docs/before_after.png
"""

from __future__ import annotations

import click
import numpy as np
from PIL import Image, ImageDraw

from spikeunet.engine import add_noise, psnr, read_picture

SIDE = 340
TOP, LEFT = 40, 110


@click.command()
@click.argument("clean")
@click.argument("denoised")
@click.argument("target")
def main(clean: str, denoised: str, target: str) -> None:
    """Put a window of the three pictures side by side, with their PSNR."""
    original = read_picture(clean) / 255
    noisy = add_noise(original, 25, 0)
    restored = read_picture(denoised) / 255
    titles = {
        f"noisy, sigma 25: {psnr(original, noisy):.2f} dB": noisy,
        f"denoised: {psnr(original, restored):.2f} dB": restored,
        "original": original,
    }
    sheet = Image.new("L", (len(titles) * (SIDE + 8) - 8, SIDE + 24), 255)
    draw = ImageDraw.Draw(sheet)
    for index, (title, picture) in enumerate(titles.items()):
        window = np.round(np.clip(picture, 0, 1)[TOP : TOP + SIDE, LEFT : LEFT + SIDE] * 255).astype(np.uint8)
        sheet.paste(Image.fromarray(window), (index * (SIDE + 8), 24))
        draw.text((index * (SIDE + 8) + 4, 4), title, fill=0, font_size=14)
    sheet.save(target)


if __name__ == "__main__":
    main()
