"""What tensors of the graph become: something that is emitted, or a current that neurons have yet to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Projection, Shape

from .onnx.imported import Ending, picture_shape

Array = NDArray[Any]


@dataclass(eq=False)
class Emitted:
    """What a node puts out that synapses can read: the Input, Neurons or a Concat.

    Attributes
    ----------
    name : str
        Of the node.
    shape : (C, H, W)
    positive : bool
        Whether no value is negative, whatever the picture.
    flattened : Emitted, optional
        Of the features of a picture, the picture, which a full connection reads as well.
    """

    name: str
    shape: Shape
    positive: bool
    flattened: Emitted | None = None


@dataclass(eq=False)
class Current:
    """The current of synapses, or of the sum of several, that are placed in the network once somebody reads them.

    Attributes
    ----------
    hint : str
        Name to give the node.
    shape : (C, H, W)
    positive : bool
    node : Projection, or None for a sum
    parts : currents that a sum adds up
    reads : Emitted, optional
        What `node` reads.
    zeros : pads (begin, end) of height and width, optional
        Of a current that is what it reads with so many zeros around it.
    pooled : Current, optional
        Of a maximum, the current over whose values it is taken.
    joined : values, optional
        Of a Scale of what lies side by side, the parts as they were.
    shared : bool
        Whether several operators of the graph read it.
    file_weights : int, optional
        How many weights the file has for it, where conversion makes more of them.
    flattened : Emitted, optional
        The picture whose features these are.
    placed : name of the node in the network, once it is there
    emitted, rectified : what its neurons emit, once they are there: signed ones, and those that stand for a ReLU
    """

    hint: str
    shape: Shape
    positive: bool = False
    node: Projection | None = None
    parts: tuple[Current, ...] = ()
    reads: Emitted | None = None
    zeros: tuple[tuple[int, int], ...] | None = None
    pooled: Current | None = None
    joined: tuple[Emitted | Current, ...] = ()
    shared: bool = False
    file_weights: int | None = None
    flattened: Emitted | None = None
    placed: str | None = None
    emitted: Emitted | None = None
    rectified: Emitted | None = None


Value = Emitted | Current


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the graph that depends on the picture.

    Attributes
    ----------
    value : Emitted or Current
        Its numbers in the order (N, C, H, W).
    shape : tuple of int
        What the graph takes it for: the same numbers in the same order, the pictures first.
    endings : functions that follow the value, for which there are no neurons
    """

    value: Value
    shape: tuple[int, ...]
    endings: tuple[Ending, ...] = field(default=())

    @property
    def aligned(self) -> bool:
        """Whether axis 1 is that of the value's channels."""
        return len(self.shape) > 1 and self.shape[1] == self.value.shape[0]

    @property
    def picture_shape(self) -> Shape:
        """(C, H, W) that an operator on pictures, signals or features takes it for."""
        return picture_shape(self.shape)


def per_channel(array: Array, tensor: Tensor) -> Array | None:
    """A constant that is combined with a tensor, element by element, as one number for each channel, (C,) float64.

    A single number stands for all channels. None where it differs from place to place, or makes the tensor larger.
    """
    rank, channels = len(tensor.shape), tensor.value.shape[0]
    if array.size == 1 and array.ndim <= rank:
        return np.full(channels, array.reshape(-1)[0], np.float64)
    if array.ndim > rank or not tensor.aligned:
        return None
    sizes = (1,) * (rank - array.ndim) + array.shape
    if any(size not in (1, whole) for size, whole in zip(sizes, tensor.shape, strict=True)):
        return None
    spread = np.asarray(array, np.float64).reshape(sizes)
    first = spread[(slice(0, 1), slice(None), *[slice(0, 1)] * (rank - 2))]
    if (spread != first).any():
        return None
    return np.asarray(np.broadcast_to(first.reshape(-1), (channels,)))
