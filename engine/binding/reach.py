"""Which output pixels an event of each input pixel reaches, as kernels look it up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape
from ..kernels.tables import Reach
from ..layers.taps import Axis


def make_reach(rows: Axis, columns: Axis, incoming: Shape, outgoing: Shape) -> Reach:
    """What synapses with these taps reach that read (C, H, W) `incoming` and put out `outgoing`."""
    of_rows = rows.pairs(incoming[1], outgoing[1])[:2]
    first, end = np.full(outgoing[1], incoming[1], np.int64), np.zeros(outgoing[1], np.int64)
    np.minimum.at(first, of_rows[1], of_rows[0])
    np.maximum.at(end, of_rows[1], of_rows[0] + 1)
    of_columns = columns.pairs(incoming[2], outgoing[2])[:2]
    return Reach(first, end, *_by_input(*of_rows, incoming[1]), *_by_input(*of_columns, incoming[2]), outgoing[2])


def reached(reach: Reach, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H', W'), the output pixels that the events of input pixels reach; `active`, (H, W), says which have events."""
    rows = _matrix(reach.row_begins, reach.rows, len(reach.first_input))
    columns = _matrix(reach.column_begins, reach.columns, reach.width)
    return np.asarray(rows.T @ active.astype(np.float32) @ columns > 0)


def _matrix(begins: NDArray[np.int64], outputs: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(inputs, outputs), 1 where an input reaches an output."""
    found = np.zeros((len(begins) - 1, size), np.float32)
    found[np.repeat(np.arange(len(begins) - 1), np.diff(begins)), outputs] = 1
    return found


def _by_input(
    inputs: NDArray[np.int64], outputs: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the outputs of each input begin, and the outputs."""
    begins = np.concatenate([[0], np.cumsum(np.bincount(inputs, minlength=size))]).astype(np.int64)
    return begins, np.ascontiguousarray(outputs[np.argsort(inputs, kind="stable")])
