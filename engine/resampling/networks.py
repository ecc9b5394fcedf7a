"""What a network is shown of a picture that is to be enlarged, and what its answer stands for, in place of tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .enlargement import Described, Enlargement
from .lookups import prefiltered
from .tables import Tables

MARGIN = 8
"""Pixels by which the last ones go on beyond the border for a network, whose layers take what lies there for black."""

SHAPES = (1, 3)
"""Outputs of a network in place of the second stage: the slope of a tent, or the three numbers of a Gaussian."""

WHOLE = 4
"""Outputs of a network in place of both stages: a Gaussian's, and what to add to the pixel."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a network is asked about a picture; `question_of` makes one.

    Parameters
    ----------
    enlargement : Enlargement
    planes : (N, H, W) int32
        The picture's, or what the tables' first stage makes of them.
    """

    enlargement: Enlargement
    planes: NDArray[np.int32]

    @property
    def batch(self) -> NDArray[np.float32]:
        """What a network takes for it, (N, 1, H + 2 MARGIN, W + 2 MARGIN) from black 0 to white 1."""
        around = [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)]
        unit = (self.planes / np.float64(255 * self.enlargement.unit)).astype(np.float32)
        return np.pad(unit, around, mode="edge")[:, None]

    def picture(self, answer: NDArray[np.float32]) -> NDArray[Any]:
        """The enlarged picture, by what a network puts out for the batch, (N, O, ...), divided by its steps."""
        return self.enlargement.picture(self._described(answer))

    def unit_picture(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same from black 0 to white 1, without transparency."""
        return self.enlargement.unit_picture(self._described(answer))

    def _described(self, answer: NDArray[np.float32]) -> Iterator[Described]:
        inner = answer[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        for plane, output in zip(self.planes, inner, strict=True):
            if len(output) == WHOLE:
                yield corrected(plane, self.enlargement.unit, output[-1]), as_shapes(output[:-1])
            else:
                yield plane, as_shapes(output)


def question_of(enlargement: Enlargement, tables: Tables | None) -> Question:
    """What a network is asked in place of both stages, or with tables in place of the second one."""
    if tables is None:
        return Question(enlargement, enlargement.planes)
    filtered = [prefiltered(plane, enlargement.unit, tables) for plane in enlargement.planes]
    return Question(enlargement, np.stack(filtered))


def as_shapes(output: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Numbers from -1 to 1, (C, H, W), on the scale of the tables: (H, W, C) uint8."""
    found: NDArray[np.uint8] = np.clip(np.rint(127 + 127 * output.astype(np.float64)), 0, 255).astype(np.uint8)
    return np.moveaxis(found, 0, 2)


def corrected(plane: NDArray[np.int32], unit: int, added: NDArray[np.float32]) -> NDArray[np.int32]:
    """A channel to which the network adds something, (H, W), black 0 and white 1, on its own scale and within it."""
    white = 255 * unit
    levels: NDArray[np.int32] = np.clip(np.rint(plane + white * added.astype(np.float64)), 0, white).astype(np.int32)
    return levels
