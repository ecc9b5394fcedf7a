"""The rows of a layer's events that are still to be read, kept in the pieces in which they were fired."""

from __future__ import annotations

from dataclasses import dataclass

from ...binding.window import RowRange
from ...events import EventQueue, joined_rows


@dataclass(frozen=True, eq=False)
class _Piece:
    """The rows first ... last - 1 of a layer; one queue for each group of steps."""

    first: int
    last: int
    queues: list[EventQueue]


class RowBuffer:
    """Events of one layer, by rows: appended at the end, dropped from the beginning."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def append(self, rows: RowRange, queues: list[EventQueue]) -> None:
        """Add the events of rows that follow those added before."""
        self._pieces.append(_Piece(*rows, queues))

    def drop(self, end: int) -> None:
        """Forget the rows before `end`, as far as whole pieces consist of them."""
        self._pieces = [piece for piece in self._pieces if piece.last > end]

    def window(self, rows: RowRange, group: int) -> EventQueue:
        """Events of some rows in one group of steps; shares memory where they lie in one piece."""
        first, last = rows
        parts = [
            _cut(piece.queues[group], max(first - piece.first, 0), min(last, piece.last) - piece.first)
            for piece in self._pieces
            if piece.first < last and piece.last > first
        ]
        return joined_rows(parts)


def _cut(queue: EventQueue, first: int, last: int) -> EventQueue:
    """Rows of a queue; entries are shared, and what lies before and behind them is left out."""
    start = queue.start[first:last]
    begin, end = int(start[0, 0]), int(start[-1, -1])
    channels, _, width = queue.shape
    shape = (channels, last - first, width)
    masks = None if queue.masks is None else queue.masks[first:last]
    return EventQueue(shape, queue.steps, start - begin, queue.channels[begin:end], queue.levels[begin:end], masks)
