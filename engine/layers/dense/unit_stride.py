"""Convolutions of stride 1 on whole batches, without gathering windows.

In a padded, flattened, channels-last batch of row length W', what the kernel row i sees from pixel p on is the run of
kernel-width pixels that starts at p + i * dilation * W'. Taken every kernel-width pixels, these runs do not overlap, so
they are the rows of a plain matrix. A kernel of K columns is thus K matrix products for each kernel row, one for each
phase p mod K, and no copy is made of the input. Windows that wrap around an edge are computed too, and ignored.

The runs are worked through in chunks that stay in a core's cache from one kernel row to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...threads import on_threads
from .blas import add_product, add_transposed_product

Array = NDArray[Any]

_CHUNK = 1 << 18
"""Numbers read and written in a chunk."""

_PARTS = 4
"""Shares of the runs whose tap gradients are added up apart; fixed, so that sums do not depend on the threads."""


@dataclass(frozen=True)
class Runs:
    """How a padded batch (M, H', W', C) is cut into runs for a kernel (kernel height, kernel width)."""

    shape: tuple[int, ...]
    kernel: tuple[int, int]
    dilation: int

    @property
    def phases(self) -> int:
        """Runs that overlap, and so have to be taken one by one."""
        return self.kernel[1]

    @property
    def pixels(self) -> int:
        """Pixels of the batch."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def count(self, phase: int = 0) -> int:
        """Runs of a phase that lie within the batch; the first phase has as many as any other."""
        windows = self.pixels - (self.kernel[0] - 1) * self.dilation * self.shape[2] - self.kernel[1] + 1
        return -(-(windows - phase) // self.phases)

    def rows(self, pixels: Array, phase: int, row: int, chunk: tuple[int, int]) -> Array:
        """(runs in the chunk, kernel width * C): what the kernel row sees in the runs of a phase."""
        first, last = chunk
        start = phase + row * self.dilation * self.shape[2]
        seen = pixels[start + first * self.phases : start + last * self.phases]
        return seen.reshape(last - first, -1)

    def chunks(self, width: int, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The runs first ... last - 1 in chunks; `width` is what is read and written for a run."""
        size = max(64, _CHUNK // width)
        return ((start, min(start + size, last)) for start in range(first, last, size))


def correlate(batch: Array, taps: Array, dilation: int = 1, bias: Array | None = None) -> Array:
    """Cross-correlation of a padded batch.

    Parameters
    ----------
    batch : (M, H', W', C), C-contiguous, zero-padded
    taps : (kernel height, kernel width, C, O), C-contiguous
    dilation : int
        Of the kernel's rows; its columns are neighbours.
    bias : (O,), optional

    Returns
    -------
    (M, H' - reach down, W' - reach across, O); a view
    """
    channels = taps.shape[3]
    runs = Runs(batch.shape, (taps.shape[0], taps.shape[1]), dilation)
    pixels, matrices = batch.reshape(runs.pixels, -1), taps.reshape(taps.shape[0], -1, channels)
    result = np.empty((runs.pixels, channels), batch.dtype)
    start = np.zeros(channels, batch.dtype) if bias is None else bias

    def work(chunk: tuple[int, int]) -> None:
        for phase in range(runs.phases):
            first, last = chunk[0], min(chunk[1], runs.count(phase))
            if first >= last:
                continue
            total = np.empty((last - first, channels), batch.dtype)
            total[:] = start
            for row, matrix in enumerate(matrices):
                add_product(runs.rows(pixels, phase, row, (first, last)), matrix, total)
            result[first * runs.phases + phase : last * runs.phases : runs.phases] = total

    on_threads(work, runs.chunks(matrices.shape[1] + channels, 0, runs.count()))
    by_picture = result.reshape(*batch.shape[:3], channels)
    reach_down, reach_across = (taps.shape[0] - 1) * dilation, taps.shape[1] - 1
    return by_picture[:, : batch.shape[1] - reach_down, : batch.shape[2] - reach_across]


def tap_gradients(batch: Array, gradient: Array, kernel: tuple[int, int], dilation: int = 1) -> Array:
    """Gradient of the taps of `correlate`.

    Parameters
    ----------
    batch : (M, H', W', C), C-contiguous, zero-padded
    gradient : (M, H', W', O), C-contiguous
        Gradient of what `correlate` returned, with zeros below and right of it up to the batch's size.
    kernel : (height, width)

    Returns
    -------
    (kernel height, kernel width, C, O)
    """
    channels = gradient.shape[3]
    runs = Runs(batch.shape, kernel, dilation)
    pixels, flow = batch.reshape(runs.pixels, -1), gradient.reshape(runs.pixels, -1)
    width = kernel[1] * batch.shape[3]

    def work(part: int) -> Array:
        total = np.zeros((kernel[0], width, channels), batch.dtype)
        edges = runs.count() * part // _PARTS, runs.count() * (part + 1) // _PARTS
        for chunk in runs.chunks(width + channels, *edges):
            for phase in range(runs.phases):
                first, last = chunk[0], min(chunk[1], runs.count(phase))
                if first >= last:
                    continue
                every = np.ascontiguousarray(flow[first * runs.phases + phase : last * runs.phases : runs.phases])
                for row in range(kernel[0]):
                    add_transposed_product(runs.rows(pixels, phase, row, (first, last)), every, total[row])
        return total

    parts = on_threads(work, range(_PARTS))
    return np.asarray(sum(parts[1:], parts[0])).reshape(*kernel, batch.shape[3], channels)
