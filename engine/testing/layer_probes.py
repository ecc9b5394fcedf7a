"""Ask a node of synapses for its currents, and look at all that such a call must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Projection, Rows, Shape
from . import product_targets
from .comparison import require

Array = NDArray[Any]

STEPS = 5


def describe(node: Projection) -> str:
    """The node as messages name it."""
    return f"{type(node).__name__} {node.name!r}"


def read_values(shape: Shape, number: int = STEPS, dtype: Any = np.float32) -> Array:
    """(number, H, W, C) multiples of 1/16 from -1 to 2, no two of them neighbours of one pattern."""
    channels, height, width = shape
    generator = np.random.default_rng(7)
    return (generator.integers(-16, 33, (number, height, width, channels)) / 16).astype(dtype)


def whole_rows(node: Projection, shape: Shape) -> Rows:
    """All output rows of a node that reads this shape."""
    return Rows(0, node.output_shape(shape)[1], 0, shape)


def current_of(node: Projection, values: Array, rows: Rows, state: Array | None = None) -> Array:
    """What `current` returns, its values and the node's arrays left as they are."""
    name, given = describe(node), values.copy()
    arrays = {each: np.array(getattr(node, each)) for each in node.arrays}
    place = f"{name}: current() of the output rows {rows.first} to {rows.last - 1}, from input row {rows.first_input}"
    try:
        found = np.asarray(node.current(values, rows, state))
    except Exception as error:
        raise AssertionError(f"{place} on, raises {type(error).__name__}: {error}") from error
    require(np.array_equal(values, given, equal_nan=True), f"{name}: current() writes to the values that it reads")
    for each, before in arrays.items():
        require(np.array_equal(getattr(node, each), before), f"{name}: current() writes to the node's {each}")
    return found


def whole_current(node: Projection, values: Array) -> Array:
    """Current of all rows, from a fresh state; by `forward` where kernels compute it."""
    if not product_targets.has_current(node):
        return node.forward((values,))
    shape = (values.shape[3], values.shape[1], values.shape[2])
    rows = whole_rows(node, shape)._replace(gathered=node.gathered(values))
    return current_of(node, values, rows, node.fresh_state(shape))


def by_site(node: Projection, shape: Shape) -> tuple[Array, Array]:
    """Current of nothing (H', W', C') and how 1 at each number that is read changes it, (H, W, C, H', W', C')."""
    sites = int(np.prod(shape))
    values = np.zeros((sites + 1, shape[1], shape[2], shape[0]))
    values[1:].reshape(sites, sites)[np.diag_indices(sites)] = 1
    found = np.concatenate([whole_current(node, each[None]) for each in values])
    return found[0], (found[1:] - found[0]).reshape(shape[1], shape[2], shape[0], *found.shape[1:])


def cuts(height: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 row of parts of so many rows: every single row, every beginning and every end."""
    yield from ((row, row + 1) for row in range(height))
    yield from ((0, row) for row in range(2, height))
    yield from ((row, height) for row in range(1, height - 1))
