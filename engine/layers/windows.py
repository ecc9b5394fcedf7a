"""What kinds that slide a window over their input can use: the rows under it, and how many outputs an event reaches."""

from __future__ import annotations

from ..graph import FanOut, Shape
from ..graph.fields import Pair
from .pool import padded_rows
from .taps import Axis, sliding_axis

__all__ = ["padded_rows", "window_fan_out", "window_rows"]


def window_rows(first: int, last: int, incoming: Shape, extent: Pair, stride: Pair, padding: Pair) -> tuple[int, int]:
    """What `Synapses.input_rows` returns for a sliding window.

    Parameters
    ----------
    first, last : int
        First output row, and last + 1.
    incoming : (C, H, W)
    extent : (height, width) of the window
    stride, padding : (vertical, horizontal)
    """
    low, high = _axes(extent, stride, padding)[0].inputs(first, last)
    low, high = max(low, 0), min(high, incoming[1])
    return (low, high) if low < high else (0, 0)


def window_fan_out(incoming: Shape, extent: Pair, stride: Pair, padding: Pair, channels: int) -> FanOut:
    """What `Synapses.fan_out` returns for a sliding window; an event reaches so many `channels` through each tap."""
    outgoing = (
        (size + 2 * p - k) // s + 1 for size, k, s, p in zip(incoming[1:], extent, stride, padding, strict=True)
    )
    sizes = zip(_axes(extent, stride, padding), incoming[1:], outgoing, strict=True)
    rows, columns = (axis.fan_out(into, out) for axis, into, out in sizes)
    return FanOut(rows, columns, channels)


def _axes(extent: Pair, stride: Pair, padding: Pair) -> tuple[Axis, Axis]:
    vertical, horizontal = zip(extent, stride, padding, strict=True)
    return sliding_axis(*vertical), sliding_axis(*horizontal)
