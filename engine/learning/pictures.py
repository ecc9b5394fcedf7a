"""Pictures with a class each, as every training method takes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import as_array
from ..errors import InputError


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """Pictures and their classes.

    Parameters
    ----------
    pictures : (N, C, H, W) float32
        In [0, 1].
    labels : (N,) int64
        From 0 to K - 1.
    classes : tuple of str
        Names of the K classes.

    Raises
    ------
    InputError
        If the arrays do not fit each other, or values are out of range.
    """

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        pictures, labels = as_array(self.pictures, "pictures"), as_array(self.labels, "labels")
        if pictures.ndim != 4 or not pictures.size or pictures.dtype.kind != "f":
            raise InputError(
                f"pictures must be floating-point numbers (N, C, H, W), at least one (got {pictures.dtype} of shape "
                f"{pictures.shape})"
            )
        if labels.shape != pictures.shape[:1] or labels.dtype.kind not in "iu":
            raise InputError(
                f"labels must be {len(pictures)} whole numbers (got {labels.dtype} of shape {labels.shape})"
            )
        low, high = float(pictures.min()), float(pictures.max())
        if not (low >= 0 and high <= 1):  # which NaN is not
            raise InputError(f"pictures must lie in [0, 1] (got {low:g} to {high:g}); scale them")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise InputError(
                f"labels must lie in 0 to {len(self.classes) - 1}, one for each class (got {labels.min()} to "
                f"{labels.max()})"
            )
        object.__setattr__(self, "pictures", pictures.astype(np.float32, copy=False))
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        _, channels, height, width = self.pictures.shape
        return channels, height, width

    def part(self, which: Any) -> LabelledPictures:
        """Those that a slice or an array of indices chooses; unchecked, since they have been."""
        found = object.__new__(LabelledPictures)
        for name, value in (("pictures", self.pictures[which]), ("labels", self.labels[which])):
            object.__setattr__(found, name, value)
        object.__setattr__(found, "classes", self.classes)
        return found

    def spread(self, number: int) -> LabelledPictures:
        """So many of them at most, taken evenly from all: data sets may lie class by class."""
        count = len(self)
        return self.part(np.arange(number) * count // number) if number < count else self

    def shifted(self, most: int, generator: np.random.Generator) -> LabelledPictures:
        """Each picture moved by up to `most` pixels along both axes; what comes in is black."""
        _, height, width = self.shape
        padded = np.pad(self.pictures, ((0, 0), (0, 0), (most, most), (most, most)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        top, left = generator.integers(2 * most + 1, size=(2, len(self)))
        found = self.part(slice(None))
        object.__setattr__(found, "pictures", windows[np.arange(len(self)), :, top, left].reshape(-1, *self.shape))
        return found

    def fingerprint(self) -> str:
        """Digest of the pictures, their classes and these classes' names."""
        digest = hashlib.sha256(repr((self.pictures.shape, self.classes)).encode())
        digest.update(self.pictures.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()
