"""Spikes of the retina's ganglion cells in the order of how much each adds to the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError
from ..kernels.tables import CELL_MAP
from .encoder import Frames
from .ganglion_cells import CELLS, SMALLEST_SHARE, Cell, divided, norms, responses, spread_out
from .one_spike import NEVER, OneSpike

Array = NDArray[np.float64]

LARGEST_DISTANCE = 65536


@dataclass(frozen=True, eq=False)
class RankedCoefficients:
    """What the cells say about a picture, in the order of their ranks.

    Parameters
    ----------
    shape : (C, H, W)
        Of the picture.
    means : (C,) float64
        Mean of each channel, of which no cell knows.
    cells : (n,) int64
        Kind of each cell, by its place in `CELLS`.
    sites : (n,) int64
        Its place in the picture, in the order (channel, row, column).
    values : (n,) float64
        Its coefficient, what earlier ones say taken off.
    """

    shape: tuple[int, int, int]
    means: Array
    cells: NDArray[np.int64]
    sites: NDArray[np.int64]
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def picture(self, first: int | None = None) -> Array:
        """(C, H, W) float64: the picture out of the means and the first coefficients, all of them by default.

        Raises
        ------
        InputError
            If `first` is no whole number from 0 to as many as there are.
        """
        count = len(self) if first is None else first
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 0 <= count <= len(self):
            raise InputError(f"first must be a whole number from 0 to {len(self)}, of coefficients (got {first!r})")
        found = np.broadcast_to(self.means[:, None, None], self.shape).copy()
        for kind, cell in enumerate(CELLS.values()):
            chosen = self.cells[:count] == kind
            coefficients = np.zeros(self.shape)
            # A kind has one cell at a place.
            coefficients.reshape(-1)[self.sites[:count][chosen]] = self.values[:count][chosen]
            if chosen.any():
                found += np.stack([spread_out(cell, channel) for channel in coefficients])
        return found


@dataclass(frozen=True)
class Foveal(OneSpike):
    """The foveal pit's ganglion cells: a spike for each place where cells answer, the ones that say most first.

    Each kind of cell is a difference of Gaussians (`ganglion_cells.CELLS`), the kinds stand on grids of their own, and
    a cell's coefficient is the product of the picture, less its mean, with the cell's unit kernel, which is cut at the
    picture's edge. The largest coefficient c_i is first; then, by lateral inhibition, c_j -= c_i <k_i, k_j> for all
    other cells, and the largest of those that are left is next; until none is positive. The place, a pixel of a
    channel, of rank r of n, by the first of its cells, spikes at the step floor(r * window / n).

    Parameters
    ----------
    window : int
        Steps in which spikes come.
    off_midget, on_midget, off_parasol, on_parasol : int
        Pixels from one cell of the kind to the next, 0 for none; by default half the deviation of its centre, so that
        no gaps are left (those of the study are 2, 5 and 30).
    share : float
        Of all cells those of the first ranks: the others are silent.

    Raises
    ------
    GraphError
        If a parameter is out of range, or there is no kind of cell.
    """

    off_midget: int = 1
    on_midget: int = 1
    off_parasol: int = 4
    on_parasol: int = 5
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in CELLS:
            self.set_whole(name, 0, LARGEST_DISTANCE)
        if not any(getattr(self, name) for name in CELLS):
            raise self.refuse(next(iter(CELLS)), "must not be 0 where that of all other kinds of cells is")
        self.set_positive("share", 1.0)

    def check(self, name: str, shown: Frames) -> None:
        """All values can be encoded: a mean is taken off them, and their order counts alone."""

    def ranked(self, picture: ArrayLike) -> RankedCoefficients:
        """Coefficients of a picture (C, H, W), or (H, W) gray, in the order of their ranks.

        Raises
        ------
        InputError
            If it has another number of axes, or is no array of finite numbers.
        """
        from ..kernels.inhibition import rank_coefficients

        array = _channels(picture)
        means = array.mean(axis=(1, 2))
        layout = _Layout(array.shape, self)
        values, scales = layout.answers(array - means[:, None, None])
        most = int(np.ceil(self.share * len(values)))
        order, ranked = np.empty(most, np.int64), np.empty(most)
        least = SMALLEST_SHARE * max(float(np.abs(array).max(initial=0)), 0.0)
        tables = (layout.maps, layout.profiles, layout.extent)
        count = rank_coefficients(values, scales, *tables, order, ranked, least)
        places = order[:count]
        return RankedCoefficients(array.shape, means, layout.kinds[places], layout.sites[places], ranked[:count])

    def filtered(self, picture: ArrayLike) -> Array:
        """(C, H, W) float64: at each pixel the largest answer of cells of the kinds there are, without inhibition.

        A cell of each kind stands at every pixel, whatever their distances; white noise is answered with its own
        deviation, but for the choice of the largest.
        """
        array = _channels(picture)
        less = array - array.mean(axis=(1, 2), keepdims=True)
        answers = [[responses(cell, channel) for channel in less] for _, cell, _ in self.kinds()]
        return np.asarray(np.max(answers, axis=0))

    def times(self, picture: Frames) -> NDArray[np.int64]:
        """See `OneSpike.times`."""
        sites, _ = self._first_by_site(picture)
        times = np.full(picture.size, NEVER, np.int64)
        times[sites] = np.arange(len(sites)) * self.window // max(len(sites), 1)
        return times.reshape(picture.shape)

    def seen_by_network(self, name: str, picture: Frames) -> Frames:
        """At each place the coefficient of its first cell, as a share of the largest one."""
        sites, values = self._first_by_site(picture)
        seen = np.zeros(picture.size, np.float32)
        seen[sites] = values / values.max(initial=1e-300)
        return seen.reshape(picture.shape)

    def _first_by_site(self, picture: Frames) -> tuple[NDArray[np.int64], Array]:
        """Places that spike, in their order, and the coefficient of each one's first cell."""
        found = self.ranked(picture)
        _, first = np.unique(found.sites, return_index=True)
        first.sort()
        return found.sites[first], found.values[first]

    def kinds(self) -> Iterator[tuple[int, Cell, int]]:
        """Number, cell and distance of the kinds that there are."""
        for kind, (name, cell) in enumerate(CELLS.items()):
            if getattr(self, name):
                yield kind, cell, getattr(self, name)


class _Layout:
    """Where the cells stand, as `rank_coefficients` reads it; maps go by channel, then by kind."""

    def __init__(self, shape: tuple[int, ...], encoder: Foveal) -> None:
        channels, height, width = shape
        self._grids = list(encoder.kinds())
        rows, sites, kinds, first = [], [], [], 0
        for channel in range(channels):
            for kind, cell, distance in self._grids:
                tops, lefts = places(height, distance), places(width, distance)
                sites.append(((channel * height + tops[:, None]) * width + lefts).reshape(-1))
                kinds.append(np.full(len(sites[-1]), kind, np.int64))
                rows.append((first, len(tops), len(lefts), tops[0], lefts[0], distance, kind, channel, cell.sign))
                first += len(sites[-1])
        self.maps = np.array(rows, CELL_MAP)
        self.sites, self.kinds = np.concatenate(sites), np.concatenate(kinds)
        self.extent = np.array([height, width, *(cell.size // 2 for cell in CELLS.values())], np.int64)
        longest = max(cell.size for cell in CELLS.values())
        self.profiles = np.zeros((len(CELLS), 2, longest))
        for profile, cell in zip(self.profiles, CELLS.values(), strict=True):
            margin = (longest - cell.size) // 2
            profile[:, margin : margin + cell.size] = cell.profiles

    def answers(self, picture: Array) -> tuple[Array, Array]:
        """Coefficients of all cells, and what makes the norms of their kernels 1; one that is flat answers nothing."""
        values, scales = [], []
        for channel in picture:
            for _, cell, distance in self._grids:
                tops, lefts = (places(extent, distance) for extent in channel.shape)
                values.append(responses(cell, channel)[np.ix_(tops, lefts)].reshape(-1))
                scales.append(norms(cell, *channel.shape)[np.ix_(tops, lefts)].reshape(-1))
        found, norm = np.concatenate(values), np.concatenate(scales)
        return found, divided(np.ones_like(norm), norm)


def places(extent: int, distance: int) -> NDArray[np.int64]:
    """Of a grid along an axis, as far from either edge, by at most a pixel."""
    return np.arange((extent - 1) % distance // 2, extent, distance)


def _channels(picture: ArrayLike) -> Array:
    """(C, H, W) float64."""
    array = as_array(picture, "the picture")
    if array.ndim not in (2, 3) or not array.size:
        raise InputError(f"the picture must be (C, H, W), or (H, W) gray (got shape {array.shape})")
    if not np.isfinite(array).all():
        raise InputError("the picture must be finite; replace what is NaN or infinite")
    return np.asarray(array, np.float64).reshape(-1, *array.shape[-2:])
