"""Train the U-Nets that `spikeunet convert` turns into denoisers; the shipped gray one comes from here.

The network predicts the noise of a picture whose noise level it is not told (blind, sigma drawn from 5 to 50 for each
crop).

    python examples/train_denoiser.py --pictures FOLDER --out denoiser-ann.npz --minutes 70
    python examples/train_denoiser.py --channels 3 --pictures FOLDER --start denoiser-ann.npz --out colour-ann.npz

Recipe: random crops of 128x128 with flips and rotations, batch 8, the mean over the batch of the logarithm of each
crop's squared error (so that every noise level pulls on the weights alike); the rest as in training_loop.py.

The shipped weights took 90 minutes (16,201 iterations) on two processors that were busy with other work as well; the
two deepest levels were revived once, at iteration 5,500.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from spiking_unet import SpikingUNet, start_from
from torch import Tensor, nn
from training_loop import Lesson, Trainer, add_arguments

HELD_OUT = 8
"""The last pictures by name are not learnt from."""
SIGMA = (5.0, 50.0)


def read_pictures(folder: Path, channels: int = 1) -> list[np.ndarray]:
    """All pictures of a folder, (H, W) for one channel and else (H, W, channels), uint8, in the order of names."""
    pictures = [iio.imread(path) for path in sorted(folder.iterdir())]
    if len(pictures) <= HELD_OUT:
        raise SystemExit(f"{folder}: has {len(pictures)} pictures, but {HELD_OUT} are held out; give more")
    for path, picture in zip(sorted(folder.iterdir()), pictures, strict=True):
        if picture.shape[2:] != (() if channels == 1 else (channels,)):
            raise SystemExit(f"{path}: has the shape {picture.shape}, not that of {channels} channels; see --channels")
    return pictures


def draw_batch(
    pictures: list[np.ndarray], batch: int, crop: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Noisy crops and their noise, each (batch, C, crop, crop) float32."""
    channels = pictures[0].shape[2] if pictures[0].ndim == 3 else 1
    clean = np.empty((batch, channels, crop, crop), np.float32)
    for sample in clean:
        picture = pictures[generator.integers(len(pictures))]
        top, left = (generator.integers(size - crop + 1) for size in picture.shape[:2])
        patch = np.rot90(picture[top : top + crop, left : left + crop], generator.integers(4))
        flipped = patch if generator.integers(2) else patch[:, ::-1]
        sample[:] = flipped.reshape(crop, crop, channels).transpose(2, 0, 1) / np.float32(255)
    sigma = generator.uniform(*SIGMA, (batch, 1, 1, 1)).astype(np.float32) / 255
    noise = generator.standard_normal(clean.shape, dtype=np.float32) * sigma
    return torch.from_numpy(clean + noise), torch.from_numpy(noise)


def log_error(predicted: Tensor, noise: Tensor) -> Tensor:
    """Mean over the batch of the logarithm of each crop's mean squared error."""
    return (predicted - noise).square().mean((1, 2, 3)).log().mean()


@torch.no_grad()
def validate(network: nn.Module, pictures: list[np.ndarray], sigma: float = 25) -> float:
    """Mean PSNR in dB over held-out pictures, whose sides are cropped to multiples of 16."""
    scores = []
    for seed, picture in enumerate(pictures):
        height, width = (size // 16 * 16 for size in picture.shape[:2])
        clean = picture[:height, :width].astype(np.float32) / 255
        noise = np.random.default_rng(seed).standard_normal(clean.shape) * sigma / 255
        noisy = torch.from_numpy((clean + noise).astype(np.float32).reshape(height, width, -1)).permute(2, 0, 1)
        restored = (noisy - network(noisy[None])[0]).clamp(0, 1).permute(1, 2, 0).numpy().reshape(clean.shape)
        scores.append(-10 * math.log10(float(np.mean((restored - clean) ** 2, dtype=np.float64))))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a blind denoiser's U-Net with PyTorch.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures, at least 128x128 each")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="1 for gray, 3 for colour")
    add_arguments(parser, out="denoiser-ann.npz", minutes=70, rate=8e-4, report=500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--start", type=Path, help="state dict, NPZ, to begin with; a gray one serves for colour too")
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    pictures = read_pictures(arguments.pictures, arguments.channels)
    held_out, learnt = pictures[-HELD_OUT:], pictures[:-HELD_OUT]
    network = SpikingUNet(arguments.channels, arguments.channels, arguments.width)
    if arguments.start:
        try:
            with np.load(arguments.start) as saved:
                start_from(network, {name: torch.from_numpy(saved[name].astype(np.float32)) for name in saved})
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise SystemExit(f"--start {arguments.start}: {str(error).splitlines()[0]}; give its state dict") from None
    lesson = Lesson(
        lambda generator: draw_batch(learnt, arguments.batch, arguments.crop, generator),
        log_error,
        lambda average: f"held-out PSNR at sigma 25 {validate(average, held_out):.3f} dB",
    )
    Trainer(network, lesson, arguments).run()


if __name__ == "__main__":
    main()
