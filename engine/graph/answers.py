"""What nodes answer, checked: kernels trust the sizes of arrays, and a layer of one's own may answer anything."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .reach import FanOut, ZeroFanOut

if TYPE_CHECKING:
    from .node import Node, Shape
    from .synapses import Synapses


def whole_numbers(found: Any, count: int) -> tuple[int, ...]:
    """So many whole numbers; none where it is something else."""
    try:
        numbers = tuple(map(index, found))
    except TypeError:
        return ()
    return numbers if len(numbers) == count else ()


def checked_shape(node: Node, found: Any) -> Shape:
    """What `output_shape` has returned; GraphError where that is no shape."""
    shape = whole_numbers(found, 3)
    if not shape or min(shape) < 1:
        raise node.refuse("output_shape()", f"must return channels, height and width, from 1 on (got {found!r:.80})")
    return shape[0], shape[1], shape[2]


def checked_rows(node: Synapses, first: int, last: int, incoming: Shape) -> tuple[int, int]:
    """What `input_rows` returns; GraphError where there are no such rows."""
    found = node.input_rows(first, last, incoming)
    rows = whole_numbers(found, 2)
    if not rows or not 0 <= rows[0] <= rows[1] <= incoming[1]:
        raise node.refuse(
            "input_rows()", f"must return two rows from 0 to {incoming[1]}, the first one no larger (got {found!r:.80})"
        )
    return rows[0], rows[1]


def checked_state_values(node: Synapses) -> int:
    """Numbers that a layer keeps for each output; GraphError where that is no number."""
    numbers = whole_numbers((node.state_values,), 1)
    if not numbers or numbers[0] < 0:
        raise node.refuse("state_values", f"must be a whole number from 0 on (got {node.state_values!r:.80})")
    return numbers[0]


def checked_gain(node: Synapses) -> tuple[float, float, int] | None:
    """What `gain` returns; GraphError where that is neither None nor three sizes."""
    found = node.gain()
    if found is None:
        return None
    try:
        weight, bias, products = (float(size) for size in found)
        sizes = all(size >= 0 for size in (weight, bias, products))  # NaN is no size.
    except (TypeError, ValueError):
        sizes = False
    if not sizes:
        raise node.refuse(
            "gain()", f"must return None or three numbers from 0 on: weight, bias and products (got {found!r:.80})"
        )
    return found


def checked_fan_out(node: Synapses, incoming: Shape) -> FanOut:
    """What `fan_out` returns, as int64; GraphError where that is not a number for each row and column."""
    found = node.fan_out(incoming)
    _, height, width = incoming
    if (
        not isinstance(found, FanOut)
        or not _counts(found.rows, (height,))
        or not _counts(found.columns, (width,))
        or not _counts(found.channels, ())
    ):
        raise node.refuse(
            "fan_out()", f"must return a FanOut of {height} rows and {width} columns, whole numbers from 0 on"
        )
    return FanOut(_int64(found.rows), _int64(found.columns), int(found.channels))


def checked_products(node: Synapses, found: Any, incoming: Shape) -> NDArray[np.int64]:
    """What `products` returns of one step or several; GraphError where that is no number for each event."""
    array, (channels, height, width) = np.asarray(found), incoming
    if array.ndim != 4 or array.shape[1:] != (height, width, channels) or not _counts(array, array.shape):
        raise node.refuse(
            "products()", f"must return whole numbers from 0 on, (steps, {height}, {width}, {channels}), or None"
        )
    return _int64(array)


def checked_zero_fan_out(node: Synapses, incoming: Shape, nonzero: NDArray[np.int64]) -> ZeroFanOut | None:
    """What `zero_fan_out` returns, as int64; GraphError where its classes or its numbers do not fit the input."""
    found = node.zero_fan_out(incoming, nonzero)
    channels, height, width = incoming
    if found is None:
        return None
    if not isinstance(found, ZeroFanOut) or not _fits(found, channels, height, width):
        raise node.refuse(
            "zero_fan_out()",
            f"must return a ZeroFanOut of {height} rows, {width} columns, and for all of their classes and {channels} "
            "channels whole numbers from 0 on",
        )
    return ZeroFanOut(_int64(found.row_classes), _int64(found.column_classes), _int64(found.zeros))


def _fits(found: ZeroFanOut, channels: int, height: int, width: int) -> bool:
    if not _counts(found.row_classes, (height,)) or not _counts(found.column_classes, (width,)):
        return False
    classes = (int(np.max(kinds)) + 1 for kinds in (found.row_classes, found.column_classes))
    return _counts(found.zeros, (*classes, channels))


def _counts(found: Any, shape: tuple[int, ...]) -> bool:
    """Whether these are whole numbers from 0 on; of three axes, there may be more along the first two."""
    array = np.asarray(found)
    if array.dtype.kind not in "iu" or array.ndim != len(shape) or (array.size and array.min() < 0):
        return False
    there = array[tuple(slice(size) for size in shape[:2])] if len(shape) == 3 else array
    return there.shape == shape


def _int64(found: Any) -> NDArray[np.int64]:
    return np.ascontiguousarray(found, np.int64)
