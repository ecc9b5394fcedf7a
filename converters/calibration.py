"""Calibration: pictures that stand for what the network will see, and its activations on them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeunet.engine.dense import evaluate
from spikeunet.engine.errors import InputError, PictureWarning
from spikeunet.engine.graph import Network
from spikeunet.engine.neurons import NeuronModel
from spikeunet.engine.pictures.fitting import fitted
from spikeunet.engine.pictures.noise import add_noise
from spikeunet.engine.pictures.picture_files import SUFFIXES
from spikeunet.engine.pictures.picture_set import PictureSet, picture_set
from spikeunet.engine.pictures.preprocessing import preprocess, stretches
from spikeunet.engine.pictures.ranges import check_sample_range
from spikeunet.engine.pictures.spread import FLOAT_LIMITS

Pictures = str | os.PathLike[str] | Iterable[ArrayLike]
Array = NDArray[np.float32]
Groups = NDArray[np.int64]

_NAME_RANGE = (
    "say what is black and white, or the scales will be poor: --range LOW:HIGH, "
    "calibration_pictures(..., sample_range=(low, high))"
)


class ScaleRule(Protocol):
    """What chooses the scale of each group of channels from their currents."""

    def add(self, currents: Array, groups: Groups, model: NeuronModel) -> None:
        """Take in (N, C) currents before the activation; the groups are (C,), 0 for none."""

    def values(self) -> NDArray[np.float64]:
        """(G,) the scales; 0 of a group without any activation."""


def calibration_pictures(
    pictures: Pictures,
    channels: int,
    sigma: float | Sequence[float] = 0.0,
    limit: int | None = None,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    sample_range: tuple[float, float] | None = None,
) -> list[Array]:
    """Pictures in the form that calibration takes, with the noise that the network will meet.

    Parameters
    ----------
    pictures : path of a folder, or iterable of (C, H, W) or (H, W) float
        Samples in [0, 1] before noise. Files of a folder are taken in the order of their names; where it has none,
        those of the folders in it, as labelled pictures lie.
    channels : int
        Channels that the network takes. A gray picture serves for any number; colour is averaged for one.
    sigma : float or sequence of float
        Standard deviation of Gaussian noise to add, on the 0-255 scale; of several, picture i gets number i modulo
        their count. The generator's seed is the picture's index.
    limit : int, optional
        Take this many pictures, evenly spaced.
    preprocessing : sequence of mapping
        Steps that the model's metadata lists; files of a folder go through them, arrays are taken as they are.
    sample_range : (low, high), optional
        Samples of black and white in the files of a folder, in place of what they say or of their type's.

    Returns
    -------
    list of (channels, H, W) float32

    Raises
    ------
    InputError
        If there are no pictures, or one has an unsuitable shape or type or is not finite, or the range is none.
    PictureError
        If a file cannot be read.

    Warns
    -----
    PictureWarning
        If something had to be assumed of files, or all together use little of their type's range; if arrays reach far
        beyond [0, 1] and no step of `preprocessing` normalises. Once for all of them.
    """
    levels = [float(level) for level in np.ravel(sigma)] or [0.0]
    chosen = list(_limited(_sources(pictures), limit))
    black_and_white = None if sample_range is None else check_sample_range(sample_range)
    with picture_set(black_and_white, remedy=_NAME_RANGE, stretched=stretches(preprocessing)) as files:
        clean = [
            _checked(_name(index, source), _loaded(source, preprocessing, files), channels)
            for index, source in enumerate(chosen)
        ]
    if not any(step.get("name") == "normalize" for step in preprocessing):
        _warn_of_far([picture for source, picture in zip(chosen, clean, strict=True) if not isinstance(source, Path)])
    return [
        add_noise(picture, levels[index % len(levels)], index) if levels[index % len(levels)] else picture
        for index, picture in enumerate(clean)
    ]


def calibrate(
    network: Network, pictures: Sequence[Array], populations: Mapping[str, Groups], rule: ScaleRule
) -> NDArray[np.float64]:
    """Scale of each group of channels by the currents that they bring to neurons, on all pictures.

    The result does not depend on the machine's number of cores. The network sees pictures as it does when it runs: as
    they are, or padded by reflection (`fitting_size`).

    Parameters
    ----------
    network : Network
    pictures : sequence of (C, H, W) float32
    populations : mapping of name of a Neurons node to (K,) int
        The group of each channel, 0 for none; where there are more channels, each stands for the next few.
    rule : ScaleRule

    Returns
    -------
    (G,) float64, 0 of a group without any activation

    Raises
    ------
    RangeError
        If an activation leaves the range of float32.
    """
    by_source = {network[name].sources[0]: name for name in populations}

    def observe(source: str, current: Array) -> None:
        neurons = network[by_source[source]]
        groups = populations[neurons.name]
        channels = current.shape[-1]
        rule.add(current.reshape(-1, channels), np.repeat(groups, channels // len(groups)), neurons.model)  # type: ignore[attr-defined]

    for picture in seen(network, pictures):
        evaluate(network, picture, observe, by_source)
    return rule.values()


def check_sizes(
    network: Network, pictures: Sequence[Array], exported: Sequence[int] | None, *, fixed: bool = False
) -> None:
    """InputError of the first picture that a network does not take, with the size that it was exported for.

    With `fixed` it takes no other one than that, as classifiers do.
    """
    if exported and len(exported) == 1:
        exported = (1, *exported)  # signals are pictures with a height of 1
    for index, picture in enumerate(seen(network, pictures)):
        shape, fault = pictures[index].shape, _fault(network, picture)
        other = fixed and exported and tuple(shape[1:]) != tuple(exported)
        if fault is None and not other:
            continue
        if not exported or (fault is not None and tuple(shape[1:]) == tuple(exported)):
            raise InputError(f"calibration picture {index}: {fault}")
        sizes = ["x".join(map(str, each)) for each in (shape, (network.input.channels, *exported))]
        raise InputError(
            f"calibration picture {index} is {sizes[0]} (channels x height x width), but the network takes "
            f"{sizes[1]}, the size that it was exported for; resize the pictures (--resize HxW, preprocessing)"
        )


def _fault(network: Network, picture: Array) -> InputError | None:
    """Why a network does not take a picture of such a size."""
    try:
        network.shapes(_shape(picture))
    except InputError as fault:
        return fault
    return None


def seen(network: Network, pictures: Sequence[Array]) -> Iterator[Array]:
    """The pictures in the sizes in which the network sees them."""
    return (fitted(network, picture)[0] for picture in pictures)


def activations_of_groups(
    network: Network, pictures: Sequence[Array], populations: Mapping[str, Groups], count: int
) -> NDArray[np.int64]:
    """(count,) how many activations each group has on all pictures."""
    counts = np.zeros(count, np.int64)
    for picture in seen(network, pictures):
        shapes = network.shapes(_shape(picture))
        for name, groups in populations.items():
            np.add.at(counts, groups, int(np.prod(shapes[name])) // len(groups))
    return counts


def _shape(picture: Array) -> tuple[int, int, int]:
    channels, height, width = picture.shape
    return channels, height, width


def _sources(pictures: Pictures) -> list[Any]:
    if isinstance(pictures, (str, os.PathLike)):
        return _files(Path(pictures))
    if isinstance(pictures, np.ndarray) and pictures.ndim != 4:
        raise InputError(f"calibration takes a folder or a list of pictures (got one array of shape {pictures.shape})")
    if not isinstance(pictures, Iterable):
        raise InputError(f"calibration takes a folder or a list of pictures (got {type(pictures).__name__})")
    sources = list(pictures)
    if not sources:
        raise InputError("calibration needs at least one picture (got none)")
    return sources


def _files(folder: Path) -> list[Any]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of calibration pictures; check the path")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    # Pictures in a folder for each class lie one deeper.
    files = next(filter(None, (_pictures_of(folder), [each for path in inside for each in _pictures_of(path)])), [])
    if not files:
        raise InputError(f"{folder}: holds no pictures for calibration; use files ending in {', '.join(SUFFIXES)}")
    return list(files)


def _pictures_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _limited(sources: list[Any], limit: int | None) -> Iterator[Any]:
    if limit is not None and limit < 1:
        raise InputError(f"the number of calibration pictures must be at least 1 (got {limit})")
    count = min(limit or len(sources), len(sources))
    return (sources[index * len(sources) // count] for index in range(count))


def _loaded(source: Any, preprocessing: Sequence[Mapping[str, Any]], files: PictureSet) -> NDArray[Any]:
    """A picture, channels first; files are scaled to [0, 1], lose their transparency and are preprocessed."""
    if not isinstance(source, Path):
        return np.asarray(source)
    samples = files.colors(source)
    return preprocess(samples.reshape(*samples.shape[:2], -1), preprocessing).transpose(2, 0, 1)


def _name(index: int, source: Any) -> str:
    return str(source) if isinstance(source, Path) else f"calibration picture {index}"


def _warn_of_far(arrays: Sequence[Array]) -> None:
    """Warn where arrays hold samples such as those from 0 to 255, which scales would be fitted to."""
    least, most = FLOAT_LIMITS
    # A picture of one pixel holds features, which may be anything.
    pictures = [array for array in arrays if array[0].size > 1]
    low, high = min((array.min() for array in pictures), default=0), max((array.max() for array in pictures), default=0)
    if low < least or high > most:
        warnings.warn(
            f"samples of the calibration pictures go from {low:g} to {high:g}, but networks take black for 0 and white "
            "for 1; divide pictures from 0 to 255 by 255, or say how the network's are normalised (metadata, "
            "preprocessing)",
            PictureWarning,
            stacklevel=3,
        )


def _checked(name: str, picture: NDArray[Any], channels: int) -> Array:
    if picture.dtype.kind != "f":
        raise InputError(f"{name} must hold floats in [0, 1] (got {picture.dtype}); divide by 255")
    picture = picture[None] if picture.ndim == 2 else picture
    if picture.ndim != 3 or not picture.size:
        raise InputError(f"{name} must be (C, H, W) or (H, W) (got shape {picture.shape})")
    if len(picture) == 3 and channels == 1:
        picture = picture.mean(0, keepdims=True)
    if len(picture) == 1:
        picture = np.repeat(picture, channels, axis=0)
    if len(picture) != channels:
        raise InputError(f"{name} has {len(picture)} channels, but the network takes {channels}; convert it")
    if not np.isfinite(picture).all() or np.abs(picture).max() > np.finfo(np.float32).max:
        raise InputError(f"{name} has values that are NaN or infinite in float32")
    return picture.astype(np.float32)
