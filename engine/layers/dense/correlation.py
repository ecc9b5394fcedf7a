"""Convolutions and their gradients in float32 through the register-blocked kernels of engine/kernels/correlation.py.

See sliding.py for the two sides of a kernel. A kernel here is (taps, channels of the wide side, channels of the narrow
side), C-contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.correlation import (
    CHANNELS,
    GROUP,
    PairReading,
    PictureChunks,
    PixelGroups,
    PixelWriting,
    PlaneReading,
    TapWriting,
    correlate,
    correlate_outer,
    pack_picture,
    pack_weights,
)
from ...kernels.processor import host_lanes
from ...kernels.window_block import Token, window_token
from ...threads import on_threads
from .joining import Value, channels_of
from .sliding import Layout, Outputs, Sliding

Array = NDArray[Any]

_PIXELS = 2 * GROUP
_OUTER_CHANNELS = 8
"""Accumulators of a block: pixels, or input channels of a gradient, times vectors."""

_ITEMS = 8
"""Pieces of work that a layer is cut into, at least, where it has so many."""

_CHUNK_BYTES = 1 << 15
"""What a gradient reads again for each tap should stay in a core's first-level cache."""

_SLACK = 256
"""Numbers behind the last plane that blocks may read, and then ignore."""


def suits(dtype: np.dtype[Any], groups: int) -> bool:
    """Whether the kernels can: in float32, ungrouped, on a processor that has fused multiply-adds."""
    return dtype == np.float32 and groups == 1 and host_lanes() >= 8


@dataclass(frozen=True, eq=False)
class Planes:
    """Pictures of one side of a kernel.

    Parameters
    ----------
    data : (M * pictures' distance + slack,) float32
    layout : Layout
    pictures, channels : int
    """

    data: Array
    layout: Layout
    pictures: int
    channels: int

    @property
    def count(self) -> int:
        """Planes that hold channels."""
        return -(-self.channels // CHANNELS)

    @property
    def picture(self) -> int:
        """Distance of pictures."""
        return _planes(self.channels) * self.layout.plane


def packed(value: Value, layout: Layout) -> Planes:
    """Planes of the joined parts (M, H, W, C_part) float32."""
    pictures = len(value[0])
    planes = Planes(np.empty(0), layout, pictures, channels_of(value))
    data = aligned(pictures * planes.picture + _SLACK)
    data[pictures * planes.picture :] = 0
    parts = [np.ascontiguousarray(part) for part in value]
    token = _token(1, CHANNELS // host_lanes(), host_lanes())

    def work(picture: int) -> None:
        target = data[picture * planes.picture : (picture + 1) * planes.picture]
        target[:] = 0
        channel = 0
        for part in parts:
            pack_picture(token, part[picture], layout.rows, layout.columns, target, channel, layout.plane)
            channel += part.shape[3]

    on_threads(work, range(pictures))
    return Planes(data, layout, pictures, planes.channels)


Kept = dict[str, Planes]
"""By node, the planes of what it read: where the backward pass follows at once, they need not be packed again."""


def packed_once(name: str, value: Value, layout: Layout, kept: Kept | None) -> Planes:
    """`packed` of what the node `name` reads, which is kept and found again where `kept` is a dictionary."""
    if kept is None:
        return packed(value, layout)
    if name not in kept:
        kept[name] = packed(value, layout)
    return kept[name]


def to_narrow(planes: Planes, kernel: Array, geometry: Sliding, bias: Array | None = None) -> Array:
    """The narrow side (M, h, w, channels): correlation of wide planes with the kernel; a view."""
    size = (geometry.rows.narrow, geometry.columns.narrow)
    return _correlated(planes, kernel, geometry.to_narrow, size, False, bias)


def to_wide(planes: Planes, kernel: Array, geometry: Sliding, bias: Array | None = None) -> Array:
    """The wide side (M, H, W, channels): what narrow planes spread through the kernel; a view."""
    size = (geometry.rows.wide, geometry.columns.wide)
    return _correlated(planes, kernel, geometry.to_wide, size, True, bias)


def kernel_gradient(wide: Planes, narrow: Planes, geometry: Sliding) -> Array:
    """Sum over all windows of wide times narrow channels, (taps, wide channels, narrow channels)."""
    taps = geometry.to_narrow[0].places
    lanes, vectors, width = _block(narrow.channels)
    inputs, outputs = wide.count * CHANNELS, -(-narrow.channels // width) * width
    blocks = [(plane, first) for first in range(0, outputs, width) for plane in range(wide.count)]
    # As many parts as the shape asks for, not the threads: the order of additions must not depend on those.
    parts = min(wide.pictures, -(-_ITEMS // len(blocks)))
    totals = aligned(parts * taps.size * inputs * outputs).reshape(parts, taps.size, inputs, outputs)
    edges = [wide.pictures * part // parts for part in range(parts + 1)]
    chunk = _chunk(geometry, vectors)
    distances = (wide.layout.row, wide.picture, narrow.layout.row, narrow.picture, narrow.layout.plane)
    reading = PairReading(*distances, geometry.columns.narrow)
    writing = TapWriting(tap=inputs * outputs, channel=outputs)
    token, start = _token(_OUTER_CHANNELS, vectors, lanes), np.zeros(width, np.float32)

    def work(item: int) -> None:
        part, (plane, first) = item // len(blocks), blocks[item % len(blocks)]
        total = totals[part]
        values = wide.data[plane * wide.layout.plane :]
        rows = narrow.data[first // CHANNELS * narrow.layout.plane + narrow.layout.origin + first % CHANNELS :]
        target = total.reshape(-1)[plane * CHANNELS * outputs + first :]
        chunks = PictureChunks(edges[part], edges[part + 1], geometry.rows.narrow, *chunk)
        correlate_outer(token, values, rows, start, taps, reading, target, writing, chunks)

    on_threads(work, range(parts * len(blocks)))
    total = totals[0] if parts == 1 else totals.sum(0)
    return np.asarray(total[:, : wide.channels, : narrow.channels])


def aligned(size: int) -> Array:
    """(size,) float32, not set, on a boundary of 64 bytes: vectors then never cross cache lines."""
    memory: Array = np.empty(size + 16, np.float32)
    first = -(memory.ctypes.data // 4) % 16
    found: Array = memory[first : first + size]
    return found


def _block(channels: int) -> tuple[int, int, int]:
    """Lanes, vectors and width of a block of output channels."""
    lanes = host_lanes()
    vectors = 2 if lanes == CHANNELS and channels > CHANNELS else 1
    return lanes, vectors, vectors * lanes


def _token(steps: int, vectors: int, lanes: int) -> Token:
    """Shape of a block's accumulators: of a single window, in which `steps` are pixels, or input channels."""
    return window_token(steps, 1, vectors, lanes, vectors)


def _planes(channels: int) -> int:
    """Planes reserved: an even number from two on, since blocks may be two planes wide."""
    count = -(-channels // CHANNELS)
    return count + count % 2 if count > 1 else 1


def _chunk(geometry: Sliding, vectors: int) -> tuple[int, int]:
    """Pictures and rows whose pixels, in a plane of inputs and a block of outputs, fit into the cache."""
    down, across = geometry.rows, geometry.columns
    row = 4 * CHANNELS * (across.narrow * vectors + across.phase_size * across.stride * down.stride)
    rows = max(1, min(down.narrow, _CHUNK_BYTES // row))
    return (max(1, _CHUNK_BYTES // (row * down.narrow)) if rows == down.narrow else 1), rows


def _correlated(
    planes: Planes,
    kernel: Array,
    jobs: tuple[Outputs, ...],
    size: tuple[int, int],
    transposed: bool,
    bias: Array | None,
) -> Array:
    """The outputs (M, *size, channels) that the jobs make of the planes, one after another where they interleave."""
    channels = kernel.shape[1] if transposed else kernel.shape[2]
    lanes, vectors, width = _block(channels)
    padded = -(-channels // width) * width
    # A group of pixels may end beyond a narrow picture's last column.
    columns = max(size[1], *(job.first[1] + (GROUP - 1) * job.step[1] + 1 for job in jobs))
    result = aligned(planes.pictures * size[0] * columns * padded)
    start = np.zeros(padded, np.float32)
    start[:channels] = 0 if bias is None else bias
    token = _token(_PIXELS, vectors, lanes)
    reading = PlaneReading(planes.count, planes.layout.plane, planes.layout.row, planes.picture)
    blocks = [(job, first) for job in jobs for first in range(0, padded, width)]
    pieces = max(1, min(planes.pictures, -(-_ITEMS // len(blocks))))
    edges = [planes.pictures * piece // pieces for piece in range(pieces + 1)]
    rows = columns * padded
    source = planes.data[planes.layout.origin :]

    def work(item: int) -> None:
        (job, first), piece = blocks[item // pieces], item % pieces
        # Packed where they are used: the weights of a block are then still in the cache.
        weights = aligned(job.taps.size * planes.count * CHANNELS * width)
        pack_weights(kernel, job.taps, transposed, weights, first, width)
        per_picture = job.count[0] * -(-job.count[1] // GROUP)
        groups = PixelGroups(edges[piece] * per_picture, edges[piece + 1] * per_picture, *job.count)
        writing = PixelWriting(job.step[1] * padded, job.step[0] * rows, size[0] * rows)
        target = result[job.first[0] * rows + job.first[1] * padded + first :]
        correlate(token, source, weights, start[first:], job.places, reading, target, writing, groups)

    on_threads(work, range(len(blocks) * pieces))
    return result.reshape(planes.pictures, size[0], columns, padded)[:, :, : size[1], :channels]
