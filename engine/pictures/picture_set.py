"""Pictures that belong together: what there is to say of them is said once, with their number, and not of each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureWarning
from .picture_files import load_picture, named_errors
from .ranges import SCALE_FIRST, to_unit, unused_range
from .samples import split_transparency
from .streams import Place, name_of


class PictureSet:
    """Reads the pictures of a set one after the other, and remembers what there is to say of them.

    Parameters
    ----------
    sample_range : (low, high), optional
        Samples of black and white, in place of what the files say.
    remedy : str
        What to do where all pictures together use little of the range that they are taken for.
    stretched : bool
        Whether samples are brought to the whole range anyway.
    """

    def __init__(self, sample_range: object = None, *, remedy: str = SCALE_FIRST, stretched: bool = False) -> None:
        self._range, self._remedy, self._stretched = sample_range, remedy, stretched
        self._remarks: dict[str, list[str]] = {}
        self._ends: dict[np.dtype[Any], tuple[list[Any], list[str]]] = {}

    def colors(self, source: Place) -> NDArray[np.float32]:
        """Gray or colour samples of a picture from black 0 to white 1, (H, W) or (H, W, C), without its transparency.

        Raises
        ------
        PictureError, OSError
            If the file cannot be read, or is no picture of that range.
        """
        picture, name = load_picture(source, sample_range=self._range), name_of(source)
        colors, _ = split_transparency(picture.samples)
        for remark in dict.fromkeys(picture.remarks):
            self._remarks.setdefault(remark, []).append(name)
        low, high = colors.min(), colors.max()
        if picture.sample_range is None and low < high and not self._stretched:  # what is even says nothing
            ends, names = self._ends.get(colors.dtype, ([], []))
            found = [*ends, low, high]
            self._ends[colors.dtype] = [min(found), max(found)], [*names, name]
        with named_errors(source):
            return to_unit(colors, picture.limits)

    def tell(self) -> None:
        """Warn of everything that was assumed of the pictures so far, each thing once.

        Warns
        -----
        PictureWarning
        """
        for remark, names in self._remarks.items():
            _warn(names, remark)
        for dtype, (ends, names) in self._ends.items():
            whose = "its" if len(names) == 1 else "their"
            unused = unused_range(np.asarray(ends, dtype), self._remedy, whose)
            if unused is not None:
                _warn(names, unused)
        self._remarks, self._ends = {}, {}


@contextmanager
def picture_set(sample_range: object = None, **options: Any) -> Iterator[PictureSet]:
    """A PictureSet that tells when all pictures were read."""
    pictures = PictureSet(sample_range, **options)
    yield pictures
    pictures.tell()


def _warn(names: list[str], remark: str) -> None:
    others = len(names) - 1
    also = "" if not others else f" and {others} other{'s' * (others > 1)}"
    warnings.warn(f"{names[0]}{also}: {remark}", PictureWarning, stacklevel=4)
