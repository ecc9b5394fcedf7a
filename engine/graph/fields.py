"""Checks of what nodes are given: whole numbers, pairs of them, arrays; each sets the checked value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_array
from ..errors import GraphError
from ..float32 import LARGEST, SMALLEST, all_finite, held, without_subnormals
from ..memory import read_only_copy
from .limits import LARGEST_EXTENT

if TYPE_CHECKING:
    from .node import Node, Shape

Pair = tuple[int, int]


def count(node: Node, attribute: str, value: Any, least: int, most: int = LARGEST_EXTENT) -> int:
    """`value` where it is a whole number from `least` to `most`; GraphError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise node.refuse(attribute, f"must be an integer of at least {least} (got {value!r})")
    if value > most:
        raise node.refuse(attribute, f"must be at most {most} (got {value!r})")
    return int(value)


def set_count(node: Node, attribute: str, least: int, most: int = LARGEST_EXTENT) -> None:
    """Check a whole number."""
    object.__setattr__(node, attribute, count(node, attribute, getattr(node, attribute), least, most))


def set_positive(node: Node, attribute: str) -> None:
    """Check a number above 0 that float32 holds; the node has it as float32 does."""
    value = getattr(node, attribute)
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or not SMALLEST <= value <= LARGEST:
        raise node.refuse(attribute, f"must be a number above 0 that float32 holds (got {value!r:.80})")
    object.__setattr__(node, attribute, held(float(value)))


def set_names(node: Node, attribute: str, of_what: str) -> None:
    """Check a sequence of names, of which there must be one at least."""
    value = getattr(node, attribute)
    names = tuple(value) if isinstance(value, (tuple, list)) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise node.refuse(attribute, f"must be a tuple of names (got {value!r:.80})")
    if not names:
        raise node.refuse(attribute, f"must name at least one {of_what}")
    object.__setattr__(node, attribute, names)


def set_pairs(node: Node, **least: int) -> None:
    """Check pairs (vertical, horizontal) of whole numbers, each of at least so much; one number stands for two."""
    for attribute, bound in least.items():
        value = getattr(node, attribute)
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(pair) != 2:
            raise node.refuse(attribute, f"must be one integer or two (got {value!r})")
        object.__setattr__(node, attribute, tuple(count(node, attribute, item, bound) for item in pair))


def set_array(node: Node, attribute: str, value: ArrayLike, dimensions: int) -> None:
    """Check an array of finite floating-point numbers; the node has it in float32, never to be written to."""
    array = as_array(value, f"{type(node).__name__} {node.name!r}: {attribute}", GraphError)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise node.refuse(attribute, f"must hold floating-point numbers (got {array.dtype})")
    if array.ndim != dimensions or not array.size:
        raise node.refuse(attribute, f"must be a non-empty {dimensions}-dimensional array (got shape {array.shape})")
    with np.errstate(over="ignore"):  # what is infinite in float32 is refused in a line of its own
        array = np.asarray(array, np.float32)
    if not all_finite(array):
        raise node.refuse(attribute, "has values that are NaN or infinite in float32")
    # It cannot be made writable again by accident: networks are shared.
    object.__setattr__(node, attribute, read_only_copy(without_subnormals(array)))


def set_bias(node: Node, channels: int) -> None:
    """Check the node's `bias`, one number for each output channel; None stands for zeros."""
    bias = getattr(node, "bias")  # noqa: B009 - not every node has one
    set_array(node, "bias", np.zeros(channels, np.float32) if bias is None else bias, 1)
    found = len(getattr(node, "bias"))  # noqa: B009
    if found != channels:
        raise node.refuse("bias", f"must have {channels} values (got {found})")


def check_channels(node: Node, given: int, wanted: int) -> None:
    """GraphError where a source puts out another number of channels than the weights take."""
    if given != wanted:
        raise node.refuse("weight", f"takes {wanted} channels, but the source puts out {given}")


def positive_shape(node: Node, channels: int, height: int, width: int, sizes: list[int]) -> Shape:
    """The shape, where an input of these sizes leaves anything of it."""
    if height < 1 or width < 1:
        raise node.refuse("kernel", f"does not fit an input of {sizes[0]}x{sizes[1]}")
    return (channels, height, width)
