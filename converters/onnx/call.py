"""One operator of the graph with what it reads, as the functions that convert operators see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..builder import Builder
from ..values import Current, Emitted, Tensor, Value
from ..weights.refusals import UnreadableError
from .graph import GraphNode

Array = NDArray[Any]
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Call:
    """An operator to convert.

    Attributes
    ----------
    node : GraphNode
    inputs : tuple of Tensor, array or None
        What it reads: tensors that depend on the picture, constants, and None for what is left out.
    builder : Builder
    opset : int
    open_size : bool
        Whether the file leaves the picture's height or width open.
    last : bool
        Whether the graph puts out what the operator does.
    """

    node: GraphNode
    inputs: tuple[Tensor | Array | None, ...]
    builder: Builder
    opset: int
    open_size: bool
    last: bool

    def refuse(self, reason: str) -> NoReturn:
        """UnreadableError that names the operator and the node."""
        raise UnreadableError(f"{self.node.kind} {self.node.name!r} {reason}")

    # --- What it reads -----------------------------------------------------------------------------------------------

    def tensor(self, index: int = 0) -> Tensor:
        """What depends on the picture."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(found, Tensor):
            self.refuse(f"must read what depends on the picture as its input {index}")
        return found

    def constant(self, index: int, default: Any = None) -> Any:
        """A constant, or `default` where it is left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(found, Tensor):
            self.refuse(
                f"has an input {index} that depends on the picture, for which there is no layer; it must be a constant"
            )
        return default if found is None else found

    def weights(self, index: int, dimensions: tuple[int, ...]) -> Array:
        """A constant array of weights, in float64."""
        found = self.constant(index)
        if found is None or found.ndim not in dimensions or found.dtype.kind != "f" or not found.size:
            shape = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            self.refuse(f"has {shape} as its input {index}; floats with {' or '.join(map(str, dimensions))} axes do")
        return np.asarray(found, np.float64)

    def integers(self, index: int, name: str) -> list[int] | None:
        """Numbers that are an input in newer operator sets and an attribute in older ones; None where left out."""
        found = self.constant(index)
        if found is None:
            found = self.node.attributes.get(name)
        return None if found is None else [int(value) for value in np.ravel(found)]

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute of the type of its default."""
        found = self.node.attributes.get(name, default)
        if type(found) is not type(default):
            self.refuse(f"has {found!r:.60} as its {name}")
        return found

    def whole(self, name: str, count: int, default: int) -> list[int]:
        """An attribute of so many whole numbers."""
        found = self.attribute(name, [default] * count)
        if len(found) != count or not all(isinstance(value, int) for value in found):
            self.refuse(f"has {found!r:.60} as its {name}, which should be {count} whole numbers")
        return list(found)

    # --- What pictures it takes them for -----------------------------------------------------------------------------

    def picture(self, index: int = 0) -> Value:
        """What an operator on pictures reads: (C, H, W) of the shape that the graph says."""
        tensor = self.tensor(index)
        return self.reshaped(tensor.value, tensor.picture_shape)

    def reshaped(self, value: Value, wanted: tuple[int, int, int]) -> Value:
        """A value of the shape that the graph takes it for."""
        if wanted == value.shape:
            return value
        if wanted != (math.prod(value.shape), 1, 1):
            self.refuse(
                f"reads {_size(value.shape)} (channels x height x width) as {_size(wanted)}; no layer makes such "
                "pictures of others: flatten to features, or keep the channels"
            )
        return self.builder.flat(self.node.name, value)

    def result(self, value: Value, like: int | None = None) -> Tensor:
        """A tensor that the operator puts out, with as many axes as its input 0 or, element by element, its shape."""
        source = self.tensor(0 if like is None else like)
        if like is not None:
            return replace(source, value=value)
        channels, height, width = value.shape
        sizes = {2: (channels,), 3: (channels, width)}.get(len(source.shape), (channels, height, width))
        return Tensor(value, (source.shape[0], *sizes))

    def current(self, node: Any, reads: Emitted, positive: bool = False, *, file_weights: int | None = None) -> Current:
        """Synapses that read something."""
        return self.builder.current(node, reads, positive, file_weights=file_weights)

    # --- Geometry of windows -----------------------------------------------------------------------------------------

    def pads(self, sizes: tuple[int, ...], kernel: list[int], stride: list[int]) -> Pads:
        """Zeros (begin, end) along each axis, of a window that covers so much, gaps included."""
        automatic = self.attribute("auto_pad", "NOTSET")
        if automatic == "VALID":
            return ((0, 0),) * len(kernel)
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            return tuple(self._same(automatic, *axis) for axis in zip(sizes, kernel, stride, strict=True))
        if automatic != "NOTSET":
            self.refuse(f"has {automatic!r:.60} as its auto_pad")
        count = len(kernel)
        pads = self.whole("pads", 2 * count, 0)
        if min(pads, default=0) < 0:
            self.refuse(f"has negative pads {pads}, which cut off; crop before the network")
        return tuple(zip(pads[:count], pads[count:], strict=True))

    def _same(self, automatic: str, size: int, extent: int, stride: int) -> tuple[int, int]:
        if stride > 1 and self.open_size:
            self.refuse(
                f"has auto_pad {automatic} and a stride, so that its zeros depend on the picture's size, which the "
                "file leaves open; export with a fixed size or with pads"
            )
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        less = total // 2
        return (less, total - less) if automatic == "SAME_UPPER" else (total - less, less)


Handler = Callable[[Call], Tensor]
HANDLERS: dict[str, Handler] = {}
"""Functions that convert operators, by the operator's name."""


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Decorator of a function that converts the operators of these names."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
