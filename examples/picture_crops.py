"""Pictures on a device and random crops of them, for `train_denoiser.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

GRAY = np.array([0.298936, 0.587043, 0.114021])
"""Shares of red, green and blue in BSD68's and Set12's gray."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".bmp")

Samples = NDArray[np.uint8]


def read_pictures(folder: Path, channels: int) -> list[Samples]:
    """All pictures of a folder as (H, W, channels) uint8, in the order of names; colour becomes gray where asked."""
    paths = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".bmp")
    )
    if not paths:
        raise SystemExit(f"{folder}: has no pictures; give a folder of files ending in {', '.join(SUFFIXES)}")
    return [to_channels(iio.imread(path), channels, path) for path in paths]


def to_channels(picture: Samples, channels: int, path: Path) -> Samples:
    """(H, W, channels) of a gray or colour picture."""
    found = 1 if picture.ndim == 2 else picture.shape[2]
    if picture.dtype != np.uint8 or found not in (channels, 3):
        raise SystemExit(f"{path}: is {picture.dtype} of shape {picture.shape}, not 8 bits of {channels} channels")
    if found == channels:
        return picture.reshape(*picture.shape[:2], channels)
    return np.rint(picture @ GRAY).astype(np.uint8)[..., None]


def read_pairs(folder: Path, cameras: Sequence[str]) -> tuple[list[Samples], list[Samples]]:
    """Noisy and clean colour photographs of PolyU's layout, `CAMERA_*_real.JPG` beside `CAMERA_*_mean.JPG`."""
    noisy = sorted(path for path in folder.glob("*_real.JPG") if path.name.startswith(tuple(cameras)))
    if not noisy:
        raise SystemExit(
            f"{folder}: has no photographs of {', '.join(cameras)} (CAMERA_*_real.JPG); give PolyU's folder"
        )
    clean = [path.with_name(path.name.replace("_real", "_mean")) for path in noisy]
    first, second = ([to_channels(iio.imread(path), 3, path) for path in paths] for paths in (noisy, clean))
    return first, second


def shrunk(pictures: Sequence[Samples], factors: Sequence[float]) -> list[Samples]:
    """The pictures, and the same at other sizes (bicubic), which have other textures and fewer marks of JPEG."""
    found = list(pictures)
    for factor in factors:
        for picture in pictures:
            size = tuple(round(side * factor) for side in picture.shape[1::-1])
            planes = [
                np.asarray(Image.fromarray(plane).resize(size, Image.BICUBIC)) for plane in picture.transpose(2, 0, 1)
            ]
            found.append(np.stack(planes, axis=-1))
    return found


class Crops:
    """Pictures in one tensor, and crops of random places, turned and mirrored.

    Parameters
    ----------
    pictures : sequence of (H, W, C) uint8 array
        Those that stand upright are turned, so that they take less room.
    device : torch.device
    """

    def __init__(self, pictures: Sequence[Samples], device: torch.device) -> None:
        wide = [p if p.shape[0] <= p.shape[1] else np.rot90(p) for p in pictures]
        height, width = (max(p.shape[axis] for p in wide) for axis in (0, 1))
        room = np.zeros((len(wide), height, width, wide[0].shape[2]), np.uint8)
        for place, picture in zip(room, wide, strict=True):
            place[: picture.shape[0], : picture.shape[1]] = picture
        self.pictures = torch.from_numpy(room).to(device)
        self.sizes = torch.tensor([p.shape[:2] for p in wide], device=device)

    def draw(self, batch: int, crop: int, *others: Crops) -> tuple[Tensor, ...]:
        """(batch, C, crop, crop) float32 from 0 to 1, of all given pictures at the same places."""
        device = self.pictures.device
        chosen = torch.randint(len(self.pictures), (batch,), device=device)
        room = (self.sizes[chosen] - crop + 1).to(torch.float32)
        corner = (torch.rand(batch, 2, device=device) * room).long()
        turns = torch.rand(3, batch, 1, 1, device=device) < 0.5
        grid = torch.arange(crop, device=device)
        down, right = grid[None, :, None].expand(batch, crop, crop), grid[None, None].expand(batch, crop, crop)
        down, right = torch.where(turns[0], right, down), torch.where(turns[0], down, right)
        down, right = torch.where(turns[1], crop - 1 - down, down), torch.where(turns[2], crop - 1 - right, right)
        rows, columns = down + corner[:, :1, None], right + corner[:, 1:, None]
        return tuple(
            (crops.pictures[chosen[:, None, None], rows, columns].to(torch.float32) / 255).permute(0, 3, 1, 2)
            for crops in (self, *others)
        )
