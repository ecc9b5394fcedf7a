"""Rainy crops for train_derainer.py, drawn on the device that trains: the rain of `spikeunet.engine.add_rain`."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spikeunet.engine.pictures.rain import DEPTHS, JITTER, MARGIN, SLANT

HELD_OUT = 40
"""The last pictures by name are not learnt from."""


class RainMaker:
    """Rain for whole batches on a device.

    Each picture has a slant; each of three depths has a length, a width and a density; streaks are lines, blurred
    across, that begin anywhere. Light of the sky, as much as a streak covers, takes the place of the picture's (half of
    the pictures), or is added to it.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers between two."""
        return torch.rand(shape, device=self.device, generator=self.generator) * (high - low) + low

    def __call__(self, clean: Tensor) -> Tensor:
        """Rainy pictures (B, 3, H, W) of clean ones; how heavy the rain is, is drawn from light to heavy."""
        batch, _, height, width = clean.shape
        height, width = height + 2 * MARGIN, width + 2 * MARGIN
        down = torch.fft.fftfreq(height, 1 / height, device=self.device)[:, None]
        right = torch.fft.fftfreq(width, 1 / width, device=self.device)[None]
        slant, times = self.uniform(-SLANT, SLANT, batch, 1, 1), 6 ** self.uniform(-0.15, 1.05, batch, 1, 1)
        spectrum = torch.zeros((), device=self.device)
        for lengths, widths, opacity, density in DEPTHS:
            angle = torch.deg2rad(slant + self.uniform(-JITTER, JITTER, batch, 1, 1))
            length, sigma = self.uniform(*lengths, batch, 1, 1), self.uniform(*widths, batch, 1, 1) / 2
            share = density * times * self.uniform(0.7, 1.3, batch, 1, 1)
            along = down * angle.cos() + right * angle.sin()
            across = right * angle.cos() - down * angle.sin()
            streak = torch.exp(-0.5 * (across / sigma) ** 2) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
            drops = (self.uniform(0, 1, batch, height, width) < share) * self.uniform(0.4, 1, batch, height, width)
            spectrum = spectrum + torch.fft.rfft2(streak) * torch.fft.rfft2(drops * opacity)
        covered = torch.fft.irfft2(spectrum, s=(height, width)).clamp(0, 0.9)
        covered = covered[:, None, MARGIN:-MARGIN, MARGIN:-MARGIN]
        light = self.uniform(0.8, 1, batch, 1, 1, 1)
        veils = self.uniform(0, 1, batch, 1, 1, 1) < 0.5
        return (clean + covered * torch.where(veils, light - clean, 0.8 * light)).clamp(0, 1)


def pack(folder: Path, most: int) -> dict[str, np.ndarray]:
    """The bytes of a folder's JPEG pictures one after the other, evenly chosen so that they take at most `most` bytes.

    The last ones by name, which are held out, are all there.
    """
    paths = sorted(folder.glob("*.jpg"))
    held, rest = paths[-HELD_OUT:], paths[:-HELD_OUT]
    left = most - sum(path.stat().st_size for path in held)
    chosen = list(rest)
    while sum(path.stat().st_size for path in chosen) > left:
        chosen = [rest[i] for i in np.linspace(0, len(rest) - 1, len(chosen) - 1).astype(int)]
    files = [path.read_bytes() for path in chosen + held]
    offsets = np.cumsum([0, *map(len, files)])
    return {"jpeg": np.frombuffer(b"".join(files), np.uint8), "offset": offsets}


def decoded(jpeg: bytes) -> np.ndarray:
    """(H, W, 3) uint8, wider than high."""
    picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return picture if picture.shape[1] >= picture.shape[0] else picture.transpose(1, 0, 2)


def read_pictures(place: Path) -> np.ndarray:
    """(N, H, W, 3) uint8: a packed file, or a folder; all cut to the smallest of them."""
    if place.is_dir():
        files = [path.read_bytes() for path in sorted(place.glob("*.jpg"))]
    else:
        with np.load(place) as packed:
            jpeg, offset = packed["jpeg"].tobytes(), packed["offset"]
        files = [jpeg[begin:end] for begin, end in itertools.pairwise(offset)]
    pictures = [decoded(each) for each in files]
    height, width = (min(each.shape[axis] for each in pictures) for axis in (0, 1))
    return np.stack([each[:height, :width] for each in pictures])


class Crops:
    """Random crops, flipped and turned, of pictures that lie on the device as bytes."""

    def __init__(self, pictures: np.ndarray, size: int, batch: int, device: torch.device, seed: int) -> None:
        self.pictures = torch.from_numpy(pictures).to(device)
        self.size, self.batch, self.device = size, batch, device
        self.generator = torch.Generator(device).manual_seed(seed)

    def _integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, device=self.device, generator=self.generator)

    def __call__(self) -> Tensor:
        """(B, 3, size, size) float32 within [0, 1]."""
        count, height, width, _ = self.pictures.shape
        along = torch.arange(self.size, device=self.device)[None]
        lines = []
        for whole in (height, width):
            forward = self._integers(2, self.batch, 1).bool()
            places = torch.where(forward, along, self.size - 1 - along)
            lines.append(places + self._integers(whole - self.size + 1, self.batch, 1))
        which = self._integers(count, self.batch)[:, None, None]
        crops = self.pictures[which, lines[0][:, :, None], lines[1][:, None, :]].permute(0, 3, 1, 2)
        half = self.batch // 2
        return torch.cat([crops[:half], crops[half:].transpose(2, 3)]).float() / 255
