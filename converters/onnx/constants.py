"""What does not depend on the picture's values: computed while the graph is read, within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..weights.refusals import DamagedError, UnreadableError
from .graph import GraphNode

Array = NDArray[Any]
Arrays = Sequence[Array | None]

MOST_NUMBERS = 1 << 22
"""Numbers that a constant may have which is computed out of others, where these are not as many."""


def folded(node: GraphNode, inputs: Arrays) -> Array | None:
    """What an operator puts out that reads constants alone; None where it is not computed here.

    Raises
    ------
    UnreadableError
        If it would be far larger than what it reads.
    DamagedError
        If it cannot be computed of what it reads.
    """
    function = _FUNCTIONS.get(node.kind)
    if function is None:
        return None
    most = max(MOST_NUMBERS, *(array.size for array in inputs if array is not None), 0)
    with np.errstate(all="ignore"), _refusing(node):
        size = _size(node, inputs)
        if size > most:
            raise UnreadableError(f"{node.kind} {node.name!r} makes a constant of {size} numbers; at most {most}")
        return np.asarray(function(node, *inputs))


@contextmanager
def _refusing(node: GraphNode) -> Iterator[None]:
    """DamagedError in place of what NumPy raises of a file's numbers: an index out of bounds, an input left out."""
    try:
        yield
    except (IndexError, KeyError, TypeError, AttributeError) as fault:
        raise DamagedError(f"{node.kind} {node.name!r} cannot be computed of its inputs ({fault})") from None


def _size(node: GraphNode, inputs: Arrays) -> int:
    """Numbers that the result has at most."""
    arrays = [array for array in inputs if array is not None]
    if node.kind in ("ConstantOfShape", "Expand"):
        shape = [max(int(size), 1) for size in np.ravel(arrays[-1])]
        return math.prod(shape) * (arrays[0].size if node.kind == "Expand" else 1)
    if node.kind == "Gather":
        return arrays[1].size * max(arrays[0].size, 1)
    if node.kind == "Range":
        first, last, step = (float(np.ravel(array)[0]) for array in arrays)
        return math.ceil(abs((last - first) / step)) if step and math.isfinite(last - first) else MOST_NUMBERS + 1
    if node.kind == "Concat":
        return sum(array.size for array in arrays)
    if node.kind in _BROADCASTING:
        return math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    return 0


def _axes(node: GraphNode, axes: Array | None) -> tuple[int, ...] | None:
    found = node.attributes.get("axes") if axes is None else np.ravel(axes)
    return None if found is None else tuple(int(axis) for axis in found)


def _constant(node: GraphNode) -> Any:
    for name in ("value", "value_int", "value_ints", "value_float", "value_floats"):
        value = node.attributes.get(name)
        if value is not None:
            kind = None if name == "value" else np.float32 if "float" in name else np.int64
            return np.asarray(value, kind)
    raise UnreadableError(f"{node.kind} {node.name!r} holds no numbers")


def _reshape(node: GraphNode, array: Any, shape: Any) -> Any:
    keep = not node.attributes.get("allowzero")
    return array.reshape(
        [array.shape[k] if size == 0 and keep else int(size) for k, size in enumerate(np.ravel(shape))]
    )


def _unsqueeze(node: GraphNode, array: Any, axes: Any = None) -> Any:
    return np.expand_dims(array, _axes(node, axes) or ())


def _squeeze(node: GraphNode, array: Any, axes: Any = None) -> Any:
    return np.squeeze(array, _axes(node, axes))


def _slice(_: GraphNode, array: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    axes = range(len(starts)) if axes is None else np.ravel(axes)
    steps = np.ones(len(starts), np.int64) if steps is None else np.ravel(steps)
    places = [slice(None)] * array.ndim
    for axis, start, end, step in zip(axes, np.ravel(starts), np.ravel(ends), steps, strict=True):
        stop: int | None = int(end)
        places[int(axis)] = slice(
            int(start), None if step < 0 and stop is not None and stop < -array.shape[axis] else stop, int(step)
        )
    return array[tuple(places)]


def _divide(_: GraphNode, first: Any, second: Any) -> Any:
    if first.dtype.kind == "f":
        return first / second
    # Whole numbers are cut off towards zero; what is divided by zero is of no use to anybody.
    quotient = np.abs(first) // np.maximum(np.abs(second), 1)
    return (quotient * np.sign(first) * np.sign(second)).astype(first.dtype)


def _cast(node: GraphNode, array: Any) -> Any:
    kind = onnx.helper.tensor_dtype_to_np_dtype(int(node.attributes.get("to", 0)))
    return array.astype(np.float32 if str(kind) == "bfloat16" else kind)


def _of_shape(node: GraphNode, shape: Any) -> Any:
    value = np.ravel(node.attributes.get("value", np.zeros(1, np.float32)))
    return np.full([int(size) for size in np.ravel(shape)], value[0], value.dtype)


def _numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, *arrays: function(*arrays)


_BROADCASTING: dict[str, Callable[..., Any]] = {
    "Add": _numpy(np.add),
    "Sub": _numpy(np.subtract),
    "Mul": _numpy(np.multiply),
    "Div": _divide,
    "Pow": _numpy(np.power),
    "Equal": _numpy(np.equal),
    "Where": _numpy(np.where),
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_BROADCASTING,
    "Constant": _constant,
    "ConstantOfShape": _of_shape,
    "Identity": lambda _, array: array,
    "Dropout": lambda _, array, *__: array,
    "Cast": _cast,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": lambda node, array: np.transpose(array, node.attributes.get("perm")),
    "Concat": lambda node, *arrays: np.concatenate(arrays, node.attributes["axis"]),
    "Gather": lambda node, array, places: np.take(array, places, node.attributes.get("axis", 0)),
    "Slice": _slice,
    "Expand": lambda _, array, shape: array * np.ones([int(n) for n in np.ravel(shape)], array.dtype),
    "Range": lambda _, *bounds: np.arange(*(np.ravel(bound)[0] for bound in bounds)),
    "Floor": _numpy(np.floor),
    "Ceil": _numpy(np.ceil),
    "Sqrt": _numpy(np.sqrt),
    "Neg": _numpy(np.negative),
    "Exp": _numpy(np.exp),
    "Reciprocal": _numpy(np.reciprocal),
}
"""Operators on constants, by name: what exporters leave of shapes that they compute and of weights that they turn."""
