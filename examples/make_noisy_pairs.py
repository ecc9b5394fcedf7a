"""Write noisy versions of clean pictures, for `spikeunet finetune --train CLEAN --noisy NOISY`.

    python examples/make_noisy_pairs.py --pictures BSDS500 --noise camera --photographs POLYU --out camera
    python examples/make_noisy_pairs.py --pictures BSDS500 --noise micrograph --out micrographs

Writes PNG files in OUT/clean and OUT/noisy for a camera's noise, and TIFF files of float32 for micrographs, whose noise
goes beyond black and white. PolyU's photographs of two cameras stand there several times, so that about half of what is
drawn is real. Needs PyTorch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import camera_noise
import imageio.v3 as iio
import numpy as np
import torch
from picture_crops import Samples, read_pairs, read_pictures
from torch import Tensor
from train_fast_denoiser import CAMERAS, HELD_OUT, on_device

TIMES = 6
"""That a photograph is written: 62 of them beside 392 pictures."""
WHITE = 5
"""Every so manyth picture has white noise, or none, in place of a camera's."""


def noisy_and_clean(noise: str, picture: Tensor, white: bool) -> tuple[Tensor, Tensor]:
    """Of a picture, (1, C, H, W)."""
    if noise == "micrograph":
        return camera_noise.micrograph(picture)
    return camera_noise.white(picture, (0.0, 25.0)) if white else camera_noise.camera(picture), picture


def write(folder: Path, name: str, sides: tuple[Tensor, Tensor], noise: str) -> None:
    """Both pictures under the same name."""
    for side, picture in zip(("noisy", "clean"), sides, strict=True):
        samples = picture[0].permute(1, 2, 0).numpy()
        if noise == "micrograph":
            iio.imwrite(folder / side / f"{name}.tif", samples[..., 0])
        else:
            write_png(folder / side / f"{name}.png", np.rint(samples.clip(0, 1) * 255).astype(np.uint8))


def write_png(path: Path, samples: Samples) -> None:
    iio.imwrite(path, samples, compress_level=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write noisy versions of clean pictures.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of clean colour pictures")
    parser.add_argument("--noise", choices=("camera", "micrograph"), required=True)
    parser.add_argument("--photographs", type=Path, help="PolyU's folder, to write its pairs, too")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    for side in ("noisy", "clean"):
        (options.out / side).mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(options.pictures, 3 if options.noise == "camera" else 1)[:-HELD_OUT]
    for index, picture in enumerate(pictures):
        tensor = on_device(picture, torch.device("cpu"))[None]
        sides = noisy_and_clean(options.noise, tensor, index % WHITE == 0)
        write(options.out, f"picture{index:04d}", sides, options.noise)
    if options.photographs:
        for index, sides in enumerate(zip(*read_pairs(options.photographs, CAMERAS), strict=True)):
            for time in range(TIMES):
                for side, samples in zip(("noisy", "clean"), sides, strict=True):
                    write_png(options.out / side / f"photograph{index:04d}_{time}.png", samples)
    print(f"{options.out}: {len(list((options.out / 'noisy').iterdir()))} pairs")


if __name__ == "__main__":
    main()
