"""Contrast of pictures: samples stretched to the whole range, and contrast-limited adaptive histogram equalisation.

The rules are scikit-image's `rescale_intensity` and `equalize_adapthist` (Zuiderveld, Contrast Limited Adaptive
Histogram Equalization, Graphics Gems IV, 1994), and so are the numbers: networks that were trained behind them must see
the same samples here. tests/test_contrast.py holds them against that package to the bit.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEVELS = 1 << 14
"""Gray levels that CLAHE tells apart."""


def stretched(picture: Array, high: float = 1.0) -> Array:
    """Samples whose darkest is 0 and whose brightest is `high`; an even picture stays, as far as it lies in between.

    `picture` is of any shape; float32 stays float32, whole numbers become float64.
    """
    darkest, brightest = float(picture.min()), float(picture.max())
    if darkest == brightest:
        return np.asarray(np.clip(picture.astype(np.result_type(picture, np.float32)), 0.0, high))
    return np.asarray((picture - darkest) / (brightest - darkest) * high)


def equalized(picture: Array, kernel_size: int | None = None, clip_limit: float = 0.01, nbins: int = 256) -> Array:
    """CLAHE of a picture, (H, W, C) float32 in [0, 1], C 1 or 3; of colour, of the largest channel (HSV's value).

    Parameters
    ----------
    kernel_size : int, optional
        Pixels along a side of the tiles that have a histogram each; an eighth of each side of the picture by default.
    clip_limit : float
        Share of a tile's pixels that a bin of its histogram may have, before the rest goes to other bins; 0 for all.
    nbins : int
        Bins of a histogram, 2 to LEVELS.
    """
    if picture.shape[2] == 1:
        return _equalized_plane(picture[..., 0], kernel_size, clip_limit, nbins)[..., None]
    hue, saturation, value = _hsv(picture)
    return _rgb(hue, saturation, _equalized_plane(value, kernel_size, clip_limit, nbins))


def _equalized_plane(plane: Array, kernel_size: int | None, clip_limit: float, nbins: int) -> Array:
    levels = np.round(stretched(np.rint(plane * np.float32(65535)).astype(np.uint16), LEVELS - 1)).astype(np.uint16)
    height, width = (kernel_size or max(side // 8, 1) for side in plane.shape)
    bins = _tiles(levels // (1 + LEVELS // nbins), height, width)
    maps = _tile_maps(bins, clip_limit, nbins)
    rows = [_mapped_row(bins[row], maps[row : row + 2]) for row in range(len(bins))]
    whole = np.concatenate(rows).reshape(len(bins) * height, -1)
    top, left = height // 2, width // 2
    result = whole[top : top + plane.shape[0], left : left + plane.shape[1]].astype(np.float32)
    return stretched(result)


def _tiles(bins: Array, height: int, width: int) -> Array:
    """(rows, height, columns, width): the picture with half a tile around it, mirrored, up to whole tiles."""
    ends = [(size // 2, -side % size + -(-size // 2)) for side, size in zip(bins.shape, (height, width), strict=True)]
    padded = np.pad(bins, ends, mode="reflect")
    return padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width)


def _tile_maps(tiles: Array, clip_limit: float, nbins: int) -> Array:
    """(rows + 1, columns + 1, nbins): what the bins become in each tile of the picture; those at its ends twice.

    `tiles` lie half a tile before those of the picture, which have the histograms.
    """
    rows, height, columns, width = tiles.shape
    pixels = height * width
    plane = tiles.reshape(rows * height, -1)[height // 2 :, width // 2 :]
    limit = max(int(clip_limit * pixels), 1) if clip_limit > 0 else pixels
    maps = np.empty((rows - 1, columns - 1, nbins), np.int64)
    for row, column in product(range(rows - 1), range(columns - 1)):
        tile = plane[row * height : (row + 1) * height, column * width : (column + 1) * width]
        counts = _clipped(np.bincount(tile.ravel(), minlength=nbins), limit)
        share = np.cumsum(counts).astype(np.float64) * ((LEVELS - 1) / pixels)
        maps[row, column] = np.minimum(share, LEVELS - 1)
    return np.pad(maps, ((1, 1), (1, 1), (0, 0)), mode="edge")


def _clipped(counts: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """A histogram of bins of at most `limit`; what was above it is spread over the others, from the first bin on."""
    excess = int((counts - limit).clip(0).sum())
    counts = np.minimum(counts, limit)
    each = excess // counts.size
    raised = np.minimum(counts + each, limit)
    excess -= int((raised - counts).sum())
    counts = raised
    while excess > 0 and (counts < limit).any():
        excess = _spread(counts, limit, excess)
    return counts


def _spread(counts: NDArray[np.int64], limit: int, excess: int) -> int:
    """Add one here and there to bins below the limit, in place; what is left, which may be less than nothing."""
    for first in range(counts.size):
        step = max(1, int(np.count_nonzero(counts < limit)) // excess)
        some = counts[first::step]
        free = some < limit
        some[free] += 1
        excess -= int(np.count_nonzero(free))
        if excess <= 0:
            break
    return excess


def _mapped_row(bins: Array, maps: Array) -> Array:
    """(height, columns, width): a row of tiles, each pixel between what the four tiles around it make of its bin."""
    height, columns, width = bins.shape
    weights = [[1 - np.arange(size) / size, np.arange(size) / size] for size in (height, width)]
    result = np.zeros(bins.shape, np.float32)
    for below, right in product((0, 1), (0, 1)):
        column = np.arange(columns)[:, None] + right
        share = weights[1][right] * weights[0][below][:, None, None]
        result += (maps[below][column, bins] * share).astype(np.float32)
    return result.astype(np.uint16)


def _hsv(picture: Array) -> tuple[Array, Array, Array]:
    """Hue, saturation and value of colours, (H, W) each."""
    value, spread = picture.max(axis=2), np.ptp(picture, axis=2)
    # A gray pixel has no hue, and a black one no saturation.
    whole, spread_or_1 = np.where(value == 0, 1, value), np.where(spread == 0, 1, spread)
    red, green, blue = np.moveaxis(picture, 2, 0)
    sectors = [4 + (red - green) / spread_or_1, 2 + (blue - red) / spread_or_1]
    sixths = np.select([blue == value, green == value], sectors, (green - blue) / spread_or_1).astype(picture.dtype)
    return np.where(spread == 0, 0, sixths / 6 % 1), spread / whole, value


def _rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """(H, W, 3): colours of a hue, a saturation and a value."""
    sixths = hue * 6
    part = sixths - np.floor(sixths)
    low, falling, rising = (value * (1 - saturation * each) for each in (np.ones_like(part), part, 1 - part))
    orders = (
        (value, rising, low), (falling, value, low), (low, value, rising),
        (low, falling, value), (rising, low, value), (value, low, falling),
    )  # fmt: skip
    sector = np.floor(sixths).astype(np.intp) % 6
    return np.stack([np.choose(sector, channel) for channel in zip(*orders, strict=True)], axis=2)


def luminance(picture: Array) -> Array:
    """(H, W, 1): scikit-image's `rgb2gray` of colours (H, W, 3), for the primaries of Rec. 709 as CRTs had them."""
    return (picture @ np.array([0.2125, 0.7154, 0.0721], picture.dtype))[..., None]  # type: ignore[no-any-return]
