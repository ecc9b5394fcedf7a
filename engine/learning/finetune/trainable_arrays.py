"""Arrays of nodes in training: exchanged in copies, and in the order in which products and kernels read them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def with_arrays(node: Any, **fields: Any) -> Any:
    """A copy of a node with some fields exchanged, unchecked and uncopied."""
    # `copy.copy` would make it anew, with all checks and copies of its arrays.
    made = object.__new__(type(node))
    made.__dict__.update(node.__dict__ | fields)
    return made


def with_initial(node: Any, initial: Array) -> Any:
    """A copy of a Neurons node whose initial potential is that of an array (1,)."""
    # NeuronModel is a protocol; every model is a dataclass with this field.
    model: Any = node.model
    return with_arrays(node, model=dataclasses.replace(model, initial=float(initial[0])))


def in_kernel_order(weight: Array) -> Array:
    """The same weight, in memory in the order that products and kernels read: kernel row, column, then channels."""
    if weight.ndim != 4:
        return np.ascontiguousarray(weight)
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)


def flat(array: Array) -> Array:
    """One-dimensional view in the order of `in_kernel_order`; a copy where the array is in another order."""
    return array.transpose(2, 3, 1, 0).reshape(-1) if array.ndim == 4 else array.reshape(-1)
