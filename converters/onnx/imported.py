"""What comes of a file with a graph: the network, and what there is to say of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.errors import InputError
from spikeunet.engine.graph import Network, Shape

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Ending:
    """A function at the end of a graph for which there are no neurons; the network puts out what it would read.

    Attributes
    ----------
    name : str
        As it is said: "Sigmoid".
    function : function of an array
        Computes it, of what the network puts out for several pictures.
    sizes : tuple of int, optional
        Of a function along an axis, the sizes behind the pictures of what it reads in the graph, where these are not
        (C, H, W) of what the network puts out; -1 for one that follows from the others.
    """

    name: str
    function: Callable[[Array], Array]
    sizes: tuple[int, ...] | None = None

    def apply(self, outputs: Array) -> Array:
        """(N, C, H, W) through the function, in its shape; InputError where that is not the graph's."""
        if self.sizes is None:
            return self.function(outputs)
        if -1 not in self.sizes and math.prod(self.sizes) != math.prod(outputs.shape[1:]):
            made, wanted = ("x".join(map(str, sizes)) for sizes in (outputs.shape[1:], self.sizes))
            raise InputError(
                f"{self.name} at the end reads {wanted} for each picture, but the network puts out {made} for those of "
                "the check; give pictures of the size that the file was exported for"
            )
        return self.function(outputs.reshape(len(outputs), *self.sizes)).reshape(outputs.shape)


@dataclass(frozen=True, eq=False)
class Imported:
    """A network as its file describes it, not normalised.

    Attributes
    ----------
    network : Network
        ReLUs are `Neurons` without a chosen model; where values may be negative, they have signed models.
    facts : dict
        "source", "opset", "producer"; "input_size" where the file fixes it; "endings", the functions left out.
    endings : tuple of Ending
        In the order in which they follow the network.
    check : path, optional
        An NPZ file beside it with inputs and outputs, as `convert` takes them to check.
    """

    network: Network
    facts: dict[str, Any] = field(default_factory=dict)
    endings: tuple[Ending, ...] = ()
    check: Path | None = None


def picture_shape(shape: tuple[int, ...]) -> Shape:
    """(C, H, W) of pictures (N, C, H, W), signals (N, C, length) or features (N, C); further axes count as columns."""
    channels, *sizes = shape[1:] or (1,)
    height, *columns = sizes if len(sizes) > 1 else (1, *sizes)
    return channels, height, math.prod(columns)
