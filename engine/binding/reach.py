"""Which output pixels an event of each input pixel reaches, as kernels look it up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape
from ..kernels.tables import Reach
from ..layers.taps import Axis

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def make_reach(rows: Axis, columns: Axis, incoming: Shape, outgoing: Shape) -> Reach:
    """What synapses with these taps reach that read (C, H, W) `incoming` and put out `outgoing`."""
    of_rows = _pairs(rows, incoming[1], outgoing[1])
    first, end = np.full(outgoing[1], incoming[1], np.int64), np.zeros(outgoing[1], np.int64)
    np.minimum.at(first, of_rows[1], of_rows[0])
    np.maximum.at(end, of_rows[1], of_rows[0] + 1)
    of_columns = _pairs(columns, incoming[2], outgoing[2])
    return Reach(first, end, *_by_input(of_rows, incoming[1]), *_by_input(of_columns, incoming[2]), outgoing[2])


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


def _pairs(axis: Axis, size: int, out_size: int) -> Pairs:
    """Every pair of an input and an output that it reaches, once for each tap."""
    found = []
    for phase in axis.reading:
        outputs = np.arange(phase.first, out_size, axis.output_step)
        for offset in phase.offsets:
            inputs = np.arange(len(outputs)) * axis.input_step + offset
            there = (inputs >= 0) & (inputs < size)
            found.append((inputs[there], outputs[there]))
    nothing = np.zeros(0, np.int64)
    inputs, outputs = (np.concatenate([nothing, *parts]) for parts in (zip(*found, strict=True) if found else ((), ())))
    return inputs, outputs


def _by_input(pairs: Pairs, size: int) -> Pairs:
    """Where the outputs of each input begin, and the outputs."""
    inputs, outputs = pairs
    begins = np.concatenate([[0], np.cumsum(np.bincount(inputs, minlength=size))]).astype(np.int64)
    return begins, np.ascontiguousarray(outputs[np.argsort(inputs, kind="stable")])
