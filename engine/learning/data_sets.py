"""Labelled pictures to train with, by name or as folders: split into those to learn from and those to test with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets.class_folders import Classes, class_folders, labelled_pictures
from ..errors import InputError, first_few
from ..pictures.folders import existing_folder
from ..pictures.picture_files import load_picture
from ..pictures.ranges import to_unit
from ..pictures.samples import split_transparency
from .data_files import read_cifar10, read_idx_pair
from .pictures import LabelledPictures

Split = tuple[LabelledPictures, LabelledPictures]
"""Pictures to learn from, and to test with."""

DIGITS_TEST = 360
"""The last so many of scikit-learn's digits are for testing: writers of the first ones are others."""
HELD_OUT = 5
"""Where a data set has no test pictures, the last fifth of it is held out."""


@dataclass(frozen=True)
class DataSet:
    """A data set that has a name.

    Parameters
    ----------
    name : str
    summary : str
        One line for the help.
    read : function of a Path, or of nothing
        Whether it needs a folder `needs_folder` tells.
    needs_folder : bool
    """

    name: str
    summary: str
    read: Callable[..., Split]
    needs_folder: bool = True


def read_digits() -> Split:
    """1,797 handwritten digits of 8x8 pixels, which come with scikit-learn; samples are sixteenths."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError("digits come with scikit-learn, which is missing; pip install 'spikeunet[evaluate]'") from None
    found = load_digits()
    pictures = (found.images[:, None] / 16).astype(np.float32)
    everything = LabelledPictures(pictures, found.target.astype(np.int64), tuple(map(str, range(10))))
    return everything.part(slice(None, -DIGITS_TEST)), everything.part(slice(-DIGITS_TEST, None))


def read_mnist(folder: Path) -> Split:
    """MNIST's IDX files; where those to train with are missing, the 10,000 others are split: 8,000 and 2,000."""
    test = read_idx_pair(folder, "t10k")
    if any((folder / f"train-images-idx3-ubyte{suffix}").is_file() for suffix in ("", ".gz")):
        return read_idx_pair(folder, "train"), test
    return _held_out(test)


def read_folders(folder: Path) -> Split:
    """A folder of pictures for each class; or folders `train` and `test` of these, named by their classes."""
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        names = tuple(class_folders(folder / "train"))
        return _of_folder(folder / "train", names), _of_folder(folder / "test", names)
    everything = _of_folder(folder, tuple(class_folders(folder)))
    # Pictures lie class by class; a fixed order mixes them.
    return _held_out(everything.part(np.random.default_rng(0).permutation(len(everything))))


OWN = (
    DataSet("digits", "scikit-learn's 8x8 digits", read_digits, needs_folder=False),
    DataSet("mnist", "IDX files, packed by gzip or not", read_mnist),
    DataSet("cifar10", "the binary version, or JPEG pictures in cifar10_jpeg.npz", read_cifar10),
)

DATA_SETS: dict[str, DataSet] = {each.name: each for each in OWN}
"""Data sets by name; add one by adding an entry."""


def read_data(text: str) -> Split:
    """The data set that a text names: NAME, NAME=FOLDER, or a FOLDER that has a folder of pictures for each class.

    Raises
    ------
    InputError, PictureError, OSError
        If there is no such data set, a file cannot be read, or pictures differ in size.
    """
    name, equals, folder = text.partition("=")
    if name in DATA_SETS and (equals or not Path(text).is_dir()):
        known = DATA_SETS[name]
        if known.needs_folder != bool(folder):
            how = f"{name}=FOLDER" if known.needs_folder else name
            raise InputError(f"{text!r}: the data set {name} is named as {how}")
        return known.read(Path(folder)) if known.needs_folder else known.read()
    if not text or not Path(text).exists():
        names = (f"{each.name}=FOLDER" if each.needs_folder else each.name for each in DATA_SETS.values())
        raise InputError(
            f"no data set and no folder is called {text!r}; give {', '.join(names)}, or a FOLDER that has a folder of "
            "pictures for each class"
        )
    return read_folders(existing_folder(Path(text), "folders of pictures, one for each class"))


def _held_out(everything: LabelledPictures) -> Split:
    test = len(everything) // HELD_OUT
    if not test:
        raise InputError(
            f"{len(everything)} pictures are too few to hold some out for testing; give {HELD_OUT} or more"
        )
    return everything.part(slice(None, -test)), everything.part(slice(-test, None))


def _of_folder(folder: Path, names: tuple[str, ...]) -> LabelledPictures:
    found = labelled_pictures(folder, Classes(len(names), names))
    pictures = [_samples(path) for _, _, path in found]
    shapes = {picture.shape: path for picture, (_, _, path) in zip(pictures, found, strict=True)}
    if len(shapes) > 1:
        sizes = (f"{path} ({'x'.join(map(str, shape))})" for shape, path in shapes.items())
        raise InputError(f"{folder}: pictures differ in channels or size: {first_few(sizes, 2)}; make them alike")
    labels = np.array([label for _, label, _ in found], np.int64)
    return LabelledPictures(np.stack(pictures), labels, names)


def _samples(path: Path) -> NDArray[np.float32]:
    """(C, H, W) float32 in [0, 1], as `spikeunet classify` sees it; transparency is not looked at."""
    picture = load_picture(path)
    opaque, _ = split_transparency(picture.samples)
    samples = to_unit(opaque, picture.limits)
    planes = samples.reshape(*samples.shape[:2], -1).transpose(2, 0, 1)
    return np.ascontiguousarray(np.clip(planes, 0, 1), np.float32)
