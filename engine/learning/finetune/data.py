"""Training and validation pictures, and the random crops that a denoiser trains on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...pictures.noise import check_sigma
from ...pictures.picture_files import SUFFIXES
from ...pictures.picture_set import PictureSet, picture_set
from ...tasks.restorers import PREDICTIONS

Array = NDArray[Any]
Picture = NDArray[np.float32]

MAXIMUM_BATCH = 4096


class Batches(Protocol):
    """Where training gets its examples from."""

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """A batch: inputs (N, H, W, C) float32 and targets (N, H, W, O), or labels (N, H, W) or (N, 1, 1)."""


class _Crops:
    """What batches of crops of a denoiser have in common."""

    def __init__(self, pictures: Sequence[Picture], crop: int, batch: int, predicts: str, names: Sequence[str]) -> None:
        check_pictures(pictures, crop, batch, names)
        check_prediction(predicts)
        self.crop = crop
        self.batch = batch
        self.predicts = predicts


class DenoisingBatches(_Crops):
    """Random crops of clean pictures, flipped and turned, with Gaussian noise; the target is what is predicted.

    Parameters
    ----------
    pictures : sequence of (H, W, C) float32
        Clean, in [0, 1], at least `crop` pixels high and wide.
    sigma : (float, float)
        Range of the noise's standard deviation on the 0-255 scale; each crop draws its own.
    crop : int
        Height and width of the crops.
    batch : int
        Number of crops in a batch.
    predicts : "noise" or "picture"
        What the denoiser puts out and its metadata say (`tasks.denoising.prediction_in`).
    names : sequence of str
        What errors call the pictures, such as their files; their numbers where there are none.

    Raises
    ------
    InputError
        If there are no pictures, one is too small or of another number of channels, or a number is out of range.
    """

    def __init__(
        self,
        pictures: list[Picture],
        sigma: tuple[float, float],
        crop: int = 64,
        batch: int = 8,
        predicts: str = PREDICTIONS[0],
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(pictures, crop, batch, predicts, names)
        low, high = (check_sigma(value) for value in sigma)
        if low > high:
            raise InputError(f"sigma must be a range from low to high (got {low:g}:{high:g})")
        self.pictures = pictures
        self._examples = [(picture,) for picture in pictures]
        self.sigma = (low, high)

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """Noisy crops and their noise, or the clean crops, each (batch, crop, crop, C) float32."""
        clean = np.stack([draw_crop(generator, self._examples, self.crop)[0] for _ in range(self.batch)])
        sigma = generator.uniform(*self.sigma, (self.batch, 1, 1, 1)).astype(np.float32) / np.float32(255)
        noise = generator.standard_normal(clean.shape, dtype=np.float32) * sigma
        return clean + noise, clean if self.predicts == "picture" else noise


class PairBatches(_Crops):
    """Random crops of noisy pictures and of the same without noise, flipped and turned alike.

    Parameters
    ----------
    pairs : sequence of ((H, W, C) float32, (H, W, C) float32)
        The noisy picture and the clean one, black 0 and white 1, at least `crop` pixels high and wide.
    crop : int
        Height and width of the crops.
    batch : int
        Number of crops in a batch.
    predicts : "noise" or "picture"
        What the denoiser puts out and its metadata say (`tasks.denoising.prediction_in`).
    names : sequence of str
        What errors call the pictures, such as their files; their numbers where there are none.

    Raises
    ------
    InputError
        If there are no pictures, one is too small, of another number of channels or not of the clean one's size, or a
        number is out of range.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Picture, Picture]],
        crop: int = 64,
        batch: int = 8,
        predicts: str = PREDICTIONS[0],
        names: Sequence[str] = (),
    ) -> None:
        super().__init__([noisy for noisy, _ in pairs], crop, batch, predicts, names)
        check_pairs(pairs, names)
        self.pairs = list(pairs)

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """Noisy crops and their noise, or the clean crops, each (batch, crop, crop, C) float32."""
        crops = [draw_crop(generator, self.pairs, self.crop) for _ in range(self.batch)]
        noisy, clean = (np.stack(side) for side in zip(*crops, strict=True))
        return noisy, clean if self.predicts == "picture" else noisy - clean


def check_prediction(predicts: str) -> None:
    """InputError where a denoiser puts out neither the noise nor the picture."""
    if predicts not in PREDICTIONS:
        raise InputError(f"a denoiser predicts {' or '.join(PREDICTIONS)} (got {predicts!r})")


def check_pairs(pairs: Sequence[tuple[Picture, Picture]], names: Sequence[str] = ()) -> None:
    """InputError where a noisy picture and its clean one, (H, W, C), differ in size or hold a number that is none."""
    for index, (noisy, clean) in enumerate(pairs):
        name = names[index] if names else f"training picture {index}"
        if noisy.shape != clean.shape:
            sizes = ("x".join(map(str, picture.shape)) for picture in (noisy, clean))
            raise InputError("{} is {}, its clean picture {} (height x width x channels)".format(name, *sizes))
        if not (np.isfinite(noisy).all() and np.isfinite(clean).all()):
            raise InputError(f"{name} or its clean picture holds NaN or infinite samples; leave it out")


def check_pictures(pictures: Sequence[Picture], crop: int, batch: int, names: Sequence[str] = ()) -> None:
    """InputError where crops cannot be taken of every picture, (H, W, C), or the batch is too small or too large."""
    if not pictures:
        raise InputError("training needs at least one picture (got none)")
    for index, picture in enumerate(pictures):
        if picture.ndim != 3 or picture.shape[2] != pictures[0].shape[2] or min(picture.shape[:2]) < crop:
            shape = "x".join(map(str, picture.shape))
            name = names[index] if names else f"training picture {index}"
            raise InputError(
                f"{name} is {shape} (height x width x channels); crops of {crop} with "
                f"{pictures[0].shape[-1]} channels do not fit; take smaller crops or leave it out"
            )
    if not 1 <= batch <= MAXIMUM_BATCH:
        raise InputError(f"the batch must have 1 to {MAXIMUM_BATCH} crops (got {batch})")


def draw_crop(
    generator: np.random.Generator, examples: Sequence[tuple[Array, ...]], crop: int, turns: bool = True
) -> tuple[Array, ...]:
    """A random square of a random example, of each of its arrays (H, W, ...) the same, turned and flipped alike."""
    example = examples[int(generator.integers(len(examples)))]
    top, left = (int(generator.integers(size - crop + 1)) for size in example[0].shape[:2])
    quarters = int(generator.integers(4)) if turns else 0
    patches = [np.rot90(array[top : top + crop, left : left + crop], quarters) for array in example]
    return tuple(patches) if generator.integers(2) else tuple(patch[:, ::-1] for patch in patches)


def read_pictures(folder: Path, channels: int) -> list[Picture]:
    """All pictures of a folder in the order of their names, (H, W, channels) float32 in [0, 1].

    Transparency is dropped, colour is averaged for one channel, gray is repeated for several.

    Raises
    ------
    InputError
        If there is no such folder, it holds no pictures, or one has another number of channels.
    PictureError
        If a file cannot be read.
    """
    return list(read_named_pictures(folder, channels).values())


def read_named_pictures(folder: Path, channels: int) -> dict[str, Picture]:
    """As `read_pictures`, by the paths of the files."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures; check the path")
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    files = [path for path in files if path.is_file()]
    if not files:
        raise InputError(f"{folder}: holds no pictures; use files ending in {', '.join(SUFFIXES)}")
    with picture_set() as pictures:
        return {str(path): _read(pictures, path, channels) for path in files}


def read_pairs(noisy: Path, clean: Path, channels: int) -> dict[str, tuple[Picture, Picture]]:
    """The pictures of a folder of noisy ones with those of the same name, its ending apart, in a folder of clean ones.

    By the path of the noisy file; errors as of `read_pictures`, and

    Raises
    ------
    InputError
        If a picture of either folder is alone, or two have the same name.
    """
    found, wanted = (_by_stem(folder, read_named_pictures(folder, channels)) for folder in (noisy, clean))
    alone = sorted(found.keys() ^ wanted.keys())
    if alone:
        there, missing = (noisy, clean) if alone[0] in found else (clean, noisy)
        raise InputError(f"{there}: {alone[0]} has no picture of that name in {missing}; name both alike")
    return {path: (picture, wanted[stem][1]) for stem, (path, picture) in found.items()}


def _by_stem(folder: Path, pictures: dict[str, Picture]) -> dict[str, tuple[str, Picture]]:
    """Paths and pictures by the name of the file without its ending."""
    found: dict[str, tuple[str, Picture]] = {}
    for path, picture in pictures.items():
        stem = Path(path).stem
        if stem in found:
            raise InputError(
                f"{folder}: {Path(found[stem][0]).name} and {Path(path).name} have the same name; leave one out"
            )
        found[stem] = path, picture
    return found


def _read(pictures: PictureSet, path: Path, channels: int) -> Picture:
    samples = pictures.colors(path)
    picture = samples[:, :, None] if samples.ndim == 2 else samples
    if channels == 1:
        picture = picture.mean(axis=2, keepdims=True, dtype=np.float32)
    elif picture.shape[2] == 1:
        picture = np.repeat(picture, channels, axis=2)
    if picture.shape[2] != channels:
        raise InputError(f"{path}: has {picture.shape[2]} colour channels, but the model takes {channels}; convert it")
    return np.ascontiguousarray(picture)


def check_crop(crop: int, multiple: int) -> int:
    """`crop` where crops of that size suit a network whose `size_multiple` is `multiple`; InputError otherwise."""
    if crop < 1 or crop % multiple:
        nearest = max(1, math.ceil(crop / multiple)) * multiple
        raise InputError(f"crops must be a multiple of {multiple} pixels for this model (got {crop}); take {nearest}")
    return crop
