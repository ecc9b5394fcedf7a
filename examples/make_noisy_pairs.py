"""Write noisy versions of clean pictures, for `spikeunet finetune --train CLEAN --noisy NOISY`.

    python examples/make_noisy_pairs.py --pictures BSDS500 --noise camera --photographs POLYU --out camera
    python examples/make_noisy_pairs.py --pictures BSDS500 --noise photograph --photographs POLYU --out photographs
    python examples/make_noisy_pairs.py --pictures BSDS500 --noise micrograph --out micrographs

Writes PNG files in OUT/clean and OUT/noisy for a camera's noise, and TIFF files of float32 for micrographs, whose noise
goes beyond black and white. `camera` is simulated noise; PolyU's photographs of two cameras stand beside it several
times, so that about half of what is drawn is real. `photograph` is these photographs' noise, varied as
photograph_noise.py says, beside every third of the pictures with simulated noise; without --pictures, alone. Needs
PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import camera_noise
import imageio.v3 as iio
import numpy as np
import torch
from photograph_noise import photographed_pairs
from picture_crops import Samples, read_pairs, read_pictures
from torch import Tensor
from train_fast_denoiser import CAMERAS, HELD_OUT, on_device

TIMES = 6
"""That a photograph is written: 62 of them beside 392 pictures."""
WHITE = 5
"""Every so manyth picture has white noise, or none, in place of a camera's."""
SIMULATED = 3
"""Every so manyth picture is taken beside photographs whose noise is varied."""


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


def photographs(folder: Path, varied: bool, seed: int) -> Iterator[tuple[Samples, Samples]]:
    """Noisy and clean photographs, their noise varied or each several times as it is."""
    sides = read_pairs(folder, CAMERAS)
    if varied:
        return photographed_pairs(*sides, np.random.default_rng(seed))
    return (pair for pair in zip(*sides, strict=True) for _ in range(TIMES))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write noisy versions of clean pictures.")
    parser.add_argument("--pictures", type=Path, help="folder of clean colour pictures")
    parser.add_argument("--noise", choices=("camera", "photograph", "micrograph"), required=True)
    parser.add_argument("--photographs", type=Path, help="PolyU's folder, to write its pairs, too")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    varied = options.noise == "photograph"
    if varied and not options.photographs:
        parser.error("--noise photograph varies the noise of photographs: give --photographs FOLDER")
    if not varied and not options.pictures:
        parser.error(f"--noise {options.noise} is added to pictures: give --pictures FOLDER")
    torch.manual_seed(options.seed)
    for side in ("noisy", "clean"):
        (options.out / side).mkdir(parents=True, exist_ok=True)
    channels, every = 1 if options.noise == "micrograph" else 3, SIMULATED if varied else 1
    pictures = read_pictures(options.pictures, channels)[:-HELD_OUT:every] if options.pictures else []
    for index, picture in enumerate(pictures):
        tensor = on_device(picture, torch.device("cpu"))[None]
        sides = noisy_and_clean(options.noise, tensor, index % WHITE == 0)
        write(options.out, f"picture{index:04d}", sides, options.noise)
    if options.photographs:
        for index, sides in enumerate(photographs(options.photographs, varied, options.seed)):
            for side, samples in zip(("noisy", "clean"), sides, strict=True):
                write_png(options.out / side / f"photograph{index:04d}.png", samples)
    print(f"{options.out}: {len(list((options.out / 'noisy').iterdir()))} pairs")


if __name__ == "__main__":
    main()
