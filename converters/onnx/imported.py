"""What comes of a file with a graph: the network, and what there is to say of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

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
        Computes it, of what the network puts out for several pictures, in the shape that `rank` says.
    rank : int
        Axes of what the function reads in the graph: 2 for (N, features), 3 for (N, C, length), 4 for (N, C, H, W).
    """

    name: str
    function: Callable[[Array], Array]
    rank: int

    def apply(self, outputs: Array) -> Array:
        """(N, C, H, W) through the function, in its shape."""
        shapes = {2: (len(outputs), -1), 3: (*outputs.shape[:2], -1)}
        return self.function(outputs.reshape(shapes.get(self.rank, outputs.shape))).reshape(outputs.shape)


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
