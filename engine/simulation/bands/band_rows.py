"""Cut a layer's output rows into bands: what a core's cache holds, and what threads share fairly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...binding import Layer
from ...memory import worked_out_once
from ..currents import Part

_BAND_BYTES = 1 << 19
"""What a band reads and writes should stay in a core's second-level cache, with a block's weights."""

_MANY_WEIGHTS = 1 << 20
"""Bytes of weights from which on a layer is cut into few bands, because every band reads them all."""

SMALLEST_PART = 32
"""Where there are several threads, a band has at least this part of a layer's rows."""

SMALLEST_DENSE_PART = 8
"""The same where levels are spread out: of neighbouring bands, the rows that both read are spread out twice."""


@dataclass(frozen=True)
class Bands:
    """Rows of each band, first and last + 1; and which bands are whose.

    Each thread has a share of the rows, and begins with a band of half of it: what another thread may take from it, in
    the end, are small ones.
    """

    rows: tuple[tuple[int, int], ...]
    shares: tuple[int, ...]
    """First band of each thread's share, and the number of bands."""


def bands_of_layer(layer: Layer, parts: Sequence[Part], steps: int, threads: int, share: float = 1.0) -> Bands:
    """The bands of a layer, whose parts read what they read; of its pixels about a share is computed.

    Their rows are few enough for the cache, where a band may take as much as its weights do, and ever fewer, so that
    all threads end at the same time.
    """
    _, height, width = layer.outgoing
    fired = int(height * width * layer.padded_channels * steps * share)
    row_bytes = max((sum(part.input_bytes for part in parts) + fired) // height, 1)
    weights = sum(part.weight_bytes for part in parts)
    most = max(max(_BAND_BYTES, weights) // row_bytes, 1)
    smallest = SMALLEST_DENSE_PART if parts[0].spreads_out or not parts[0].inputs.queues else SMALLEST_PART
    least = height if threads == 1 else height // smallest
    if weights >= _MANY_WEIGHTS:
        least = -(-height // (threads if weights >= 4 * _MANY_WEIGHTS else 2 * threads))
    return bands_of(height, most, max(least, 1), threads)


@worked_out_once()
def bands_of(height: int, most: int, least: int, threads: int) -> Bands:
    """Bands of `most` rows or fewer: half of what is left of a thread's share, but `least` rows."""
    rows: list[tuple[int, int]] = []
    shares = []
    for thread in range(threads):
        shares.append(len(rows))
        first, end = height * thread // threads, height * (thread + 1) // threads
        while first < end:
            size = min(max(-(-(end - first) // 2), least), most, end - first)
            rows.append((first, first + size))
            first += size
    return Bands(tuple(rows), (*shares, len(rows)))
