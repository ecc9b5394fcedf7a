"""A picture that is to be enlarged: its channels as levels, and what is made of their weighted means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from ..pictures.ranges import SampleRange, check_range, from_unit, to_unit, type_range
from ..pictures.samples import join_transparency, split_transparency, without_equal_channels
from .means import Axis, Plane, axis, linear, weighted
from .sizes import check_scale, checked_size

Described = tuple[Plane, NDArray[np.uint8]]
"""A channel to take the means of, (H, W), and the shapes of its pixels' weights, (H, W, 3 or 1)."""


@dataclass(frozen=True, eq=False)
class Enlargement:
    """What is known before anything is looked up or run; `enlargement_of` makes one.

    Parameters
    ----------
    samples : (H, W) or (H, W, C)
        The picture.
    limits : (low, high)
        Its samples of black and white.
    planes : (N, H, W) int32
        Its colour channels, equal ones as one, from 0 to 255 * `unit`.
    unit : int
        1 for levels of 8 bits, 257 for those of 16.
    axes : pair of Axis
        Between which pixels the places of the result lie, down and across.
    """

    samples: NDArray[Any]
    limits: SampleRange
    planes: NDArray[np.int32]
    unit: int
    axes: tuple[Axis, Axis]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.samples.shape[0], self.samples.shape[1]

    def picture(self, described: Iterable[Described]) -> NDArray[Any]:
        """The result, of the type and with the transparency of the picture, by what was said of each of `planes`."""
        found = self._joined(
            _as_it_came(each, self.unit, self.limits, self.samples.dtype) for each in self._means(described)
        )
        transparency = split_transparency(self.samples)[1]
        return join_transparency(found, None if transparency is None else linear(transparency, self.axes))

    def unit_picture(self, described: Iterable[Described]) -> NDArray[np.float32]:
        """The result from black 0 to white 1, without transparency."""
        return self._joined((each / (255 * self.unit)).astype(np.float32) for each in self._means(described))

    def _means(self, described: Iterable[Described]) -> Iterator[NDArray[np.float64]]:
        """Of one channel after the other: in float64 all of them take more memory than the result."""
        return (weighted(*each, self.axes) for each in described)

    def _joined(self, channels: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """Channels with the shape of the picture's colours, equal ones repeated."""
        found, colors = np.stack(list(channels), axis=-1), split_transparency(self.samples)[0]
        if colors.ndim == 2:
            return found[..., 0]
        return found if found.shape[2] == colors.shape[2] else np.repeat(found, colors.shape[2], axis=2)


def enlargement_of(
    samples: NDArray[Any], limits: SampleRange, scale: object, size: object, *, fine: bool
) -> Enlargement:
    """What there is to know of a picture that was checked; `fine` takes 8 bits to 16.

    Raises
    ------
    InputError
        If not one of scale and size is named, or the size makes no sense.
    PictureError
        If samples are beyond black and white.
    """
    shape = samples.shape[:2]
    wanted = checked_size(shape, scale, size)
    ratios = [each / have for each, have in zip(wanted, shape, strict=True)]
    factors = ratios if scale is None else [check_scale(scale)] * 2
    down, across = (axis(*each) for each in zip(shape, wanted, factors, strict=True))
    levels, unit = _levels(without_equal_channels(split_transparency(samples)[0]), limits, fine=fine)
    planes = np.ascontiguousarray(np.moveaxis(levels.reshape(*shape, -1), 2, 0))
    return Enlargement(samples, limits, planes, unit, (down, across))


def _levels(colors: NDArray[Any], limits: SampleRange, *, fine: bool) -> tuple[NDArray[np.int32], int]:
    """Samples as whole numbers from 0 to 255 * unit; a unit of 257 is 16 bits, to which `fine` makes 8 bits, too."""
    if colors.dtype == np.uint8 and limits == type_range(colors.dtype):
        scale = 257 if fine else 1
        return colors.astype(np.int32) * scale, scale
    if colors.dtype == np.uint16 and limits == type_range(colors.dtype):
        return colors.astype(np.int32), 257
    unit = to_unit(colors, limits, np.dtype(np.float64))
    try:
        check_range(unit)
    except PictureError:
        raise PictureError(
            f"its samples go from {colors.min():g} to {colors.max():g}, beyond black {limits[0]:g} or white "
            f"{limits[1]:g}, which resampling does not go beyond; name a wider range"
        ) from None
    return np.rint(unit * 65535).astype(np.int32), 257


def _as_it_came(enlarged: NDArray[np.float64], unit: int, limits: SampleRange, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The result on the scale and of the type of the samples that were given."""
    if dtype.kind == "u" and limits == type_range(dtype):
        return np.rint(enlarged / (255 * unit / limits[1])).astype(dtype)
    return from_unit(enlarged / (255 * unit), limits, dtype)
