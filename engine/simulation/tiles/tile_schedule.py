"""In which order layers take which rows, so that of every layer only the rows still to be read are kept.

A tile is a strip of the picture, as wide as the picture. With each tile every layer goes on as far as its sources
allow: a row is done as soon as all rows under its kernel are there. So nothing is computed twice and nothing cut off;
layers behind others lag by what lies between them, at the end of a U-Net by about its receptive field.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from ...binding import Layer, Program
from ...binding.layer import NOTHING_READ, RowRange


@dataclass(frozen=True)
class TileStep:
    """A layer's next output rows, and for each of its parts the window of input rows that they read.

    Of each part, input rows before `counted` were in the window of an earlier step. `drops` says for each of the
    layer's sources before which row nobody reads it any more.
    """

    layer: Layer
    rows: RowRange
    windows: tuple[RowRange, ...]
    counted: tuple[int, ...]
    drops: dict[str, int]


@dataclass(eq=False)
class TileSchedule:
    """Steps for a program whose picture has `height` rows, `tile` of them at a time."""

    program: Program
    height: int
    tile: int

    def __iter__(self) -> Iterator[TileStep]:
        layers, pictures = self.program.layers, self.program.inputs
        self._done = dict.fromkeys([*pictures, *(layer.name for layer in layers)], 0)
        self._counted = {layer.name: (0,) * len(layer.parts) for layer in layers}
        self._readers: dict[str, list[tuple[Layer, Layer]]] = defaultdict(list)
        for reader, part in ((layer, part) for layer in layers for part in layer.parts):
            for source in part.sources:
                self._readers[source.name].append((reader, part))
        while any(self._done[layer.name] < layer.outgoing[1] for layer in layers):
            self._done.update({name: min(self._done[name] + self.tile, self.height) for name in pictures})
            for layer in layers:
                rows = self._done[layer.name], self._ready(layer)
                if rows[0] < rows[1]:
                    yield self._step(layer, rows)

    def _ready(self, layer: Layer) -> int:
        """Last + 1 row that can be computed now, of no more rows than a tile has."""
        first, height = self._done[layer.name], layer.outgoing[1]
        # The phases of a transposed convolution stay together.
        step = layer.row_step
        most = min(first + -(-self.tile * height // (self.height * step)) * step, height)
        for part in layer.parts:
            there = min(self._done[source.name] for source in part.sources)
            if part.node.gathers:
                # What is gathered is of all rows, and gathered once: all of them are done then.
                most = height if there == part.incoming[1] else first
            elif there < part.incoming[1]:
                ends = range(first + 1, most + 1)
                most = first + bisect_right(ends, there, key=lambda last: part.input_rows(first, last)[1])
        return most if most == height else max(first, most // step * step)

    def _step(self, layer: Layer, rows: RowRange) -> TileStep:
        windows, counted = tuple(part.input_rows(*rows) for part in layer.parts), self._counted[layer.name]
        self._done[layer.name] = rows[1]
        self._counted[layer.name] = tuple(max(old, new[1]) for old, new in zip(counted, windows, strict=True))
        drops = {source.name: self._unread(source.name) for source in layer.sources}
        return TileStep(layer, rows, windows, counted, drops)

    def _unread(self, name: str) -> int:
        """Row before which none of its readers will read the node `name` again."""
        lowest = []
        for layer, part in self._readers[name]:
            done, height = self._done[layer.name], layer.outgoing[1]
            window = part.input_rows(done, height) if done < height else NOTHING_READ
            lowest.append(part.incoming[1] if window == NOTHING_READ else window[0])
        return min(lowest)
