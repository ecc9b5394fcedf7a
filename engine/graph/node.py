"""What stands in a network: where values enter, synapses, populations of neurons, readouts. Shapes are (C, H, W).

A node has a role, and that is all that the graph knows: `Synapses` turn what they read into an input current, `Join`
puts what several nodes emit side by side, `Neurons` turn a current into graded events, `Output` adds a current up over
the steps. The kinds of synapses and joins are in engine/layers, one file each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..encoders import ENCODERS, Encoder
from ..errors import GraphError
from ..neurons import Heterogeneous, MultiThreshold, NeuronModel, check_model
from .fields import count
from .limits import MOST_INPUT_CHANNELS

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Node:
    """A named node; `sources` are the names of the nodes that it reads."""

    name: str

    reads: ClassVar[tuple[type[Node], ...]] = ()
    """Roles of the nodes that it may read."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the nodes that this one reads, in order."""
        return ()

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape that this node puts out, from the shapes that its sources put out."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew out of its fields, so that a copy's arrays cannot be written to either.
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return _made, (type(self), values)

    def padded_shape(self, *shapes: Shape) -> Shape:
        """Shape of what this node reads, padded, or of what it puts out, before it is cropped."""
        return self.output_shape(*shapes)

    def refuse(self, attribute: str, message: str) -> GraphError:
        """A GraphError that names the node and the attribute at fault."""
        return GraphError(f"{type(self).__name__} {self.name!r}: {attribute} {message}")


def _made(kind: type[Node], values: dict[str, Any]) -> Node:
    return kind(**values)


@dataclass(frozen=True, eq=False)
class Input(Node):
    """Where the picture enters, (channels, H, W) float32.

    Without an encoder its values are an analog input, injected at every step (direct coding); an encoder turns them
    into spikes, or takes spikes that come as such (see engine/encoders).
    """

    channels: int = 1
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        if self.encoder is not None and type(self.encoder) not in ENCODERS.values():
            raise self.refuse("encoder", f"must be None or one of {', '.join(ENCODERS)} (got {self.encoder!r})")
        object.__setattr__(self, "channels", count(self, "channels", self.channels, 1, MOST_INPUT_CHANNELS))

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if shape[0] != self.channels:
            raise self.refuse("channels", f"is {self.channels}, but the picture has {shape[0]}")
        if min(shape) < 1:
            raise self.refuse("the picture", "must have rows and columns")
        return shape


@dataclass(frozen=True, eq=False)
class Join(Node):
    """A node that puts what several others emit side by side, along the channels, and computes nothing."""


@dataclass(frozen=True, eq=False)
class SingleSource(Node):
    """A node that reads one other node."""

    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)


UNCHOSEN = MultiThreshold()
"""Model of `Neurons` that were given none, told by identity: an equal one that somebody chose is another object."""


@dataclass(frozen=True, eq=False)
class Neurons(SingleSource):
    """A population of spiking neurons, one for each element of its source's current.

    Without a model it is the paper's, thresholds 2, 1, 1/2 and 1/4; `convert` then takes `MultiThreshold.rounding()`.
    """

    model: NeuronModel = UNCHOSEN

    def __post_init__(self) -> None:
        if not isinstance(self.model, NeuronModel):
            raise self.refuse("model", f"must be a neuron model such as MultiThreshold() (got {self.model!r})")
        check_model(self.model)

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if isinstance(self.model, Heterogeneous) and not self.model.fits(shape):
            raise self.refuse("model", f"has parameters of the shape {self.model.shape}, but the layer is {shape}")
        return shape


@dataclass(frozen=True, eq=False)
class Output(SingleSource):
    """The accumulated readout of its source's current, which has no neuron."""

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        return shape
