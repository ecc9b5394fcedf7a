"""Several synapses into one population: their currents add up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .layer import Layer, RowRange


@dataclass(frozen=True, eq=False)
class SumLayer(Layer):
    """A layer whose current is the sum of those of its parts, which have no neurons.

    `sources` and `incoming` of the sum mean nothing: each part has its own.
    """

    summands: tuple[Layer, ...] = field(default=())

    @property
    def parts(self) -> tuple[Layer, ...]:
        return self.summands

    @property
    def row_step(self) -> int:
        return max(part.row_step for part in self.summands)

    def rows_of(self, rows: RowRange, counted: tuple[int, ...]) -> SumLayer:
        parts = tuple(part.rows_of(rows, (number,)) for part, number in zip(self.summands, counted, strict=True))
        outgoing = (self.outgoing[0], rows[1] - rows[0], self.outgoing[2])
        return replace(self, outgoing=outgoing, summands=parts)
