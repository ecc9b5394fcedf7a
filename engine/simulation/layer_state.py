"""What a layer carries from step to step, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Layer
from ..binding.layer import Source
from ..events import EventQueue
from ..float32 import all_finite, beyond
from ..memory import aligned_empty


@dataclass(eq=False)
class LayerState:
    """What a layer carries from one group of steps to the next.

    Parameters
    ----------
    layer : Layer
    membrane : (H * W * padded channels,) float32 or None
        Potentials, kept only if there are further steps or they are recorded.
    others : tuple of arrays as `membrane`
        Further state variables of neurons that have some, kept likewise.
    constant : float32
        Bias, or for each pixel the bias and the analog input's current.
    constant_stride : int
        0 for a bias alone, otherwise the padded channels.
    readout : (H, W, O) float32
        Running sum of the currents of a layer without neurons.
    fresh : bool
        Whether no step has been run.
    done : int
        How many steps have been run.
    watched : bool
        Whether numbers may leave the range of float32, and have to be looked at.
    is_part : bool
        Whether the layer is a part of a sum, whose state is another one.
    summands : list of LayerState
        What each part of a sum carries; empty for another layer.
    synaptic : (H, W, C, state_values) float32 or None
        What the synapses themselves carry.
    """

    layer: Layer
    membrane: NDArray[np.float32] | None = None
    others: tuple[NDArray[np.float32], ...] = ()
    constant: NDArray[np.float32] = field(init=False)
    constant_stride: int = 0
    readout: NDArray[np.float32] = field(init=False)
    fresh: bool = True
    done: int = 0
    watched: bool = False
    is_part: bool = False
    summands: list[LayerState] = field(init=False)
    synaptic: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        self.constant = self.layer.bias
        channels, height, width = self.layer.outgoing
        alone = self.layer.parts == (self.layer,)
        self.summands = [] if alone else [LayerState(part, is_part=True) for part in self.layer.parts]
        if alone and self.layer.node.state_values:
            self.synaptic = np.zeros((height, width, channels, self.layer.node.state_values), np.float32)
        if self.layer.neurons is None and not self.is_part:
            self.readout = np.zeros((height, width, channels), np.float32)

    @property
    def parts(self) -> list[LayerState]:
        """What each part of a sum carries; of another layer itself, which must not hold itself."""
        return self.summands or [self]

    def keep_membrane(self) -> None:
        """Keep the potentials, and what else the neurons' state consists of, after each group of steps."""
        _, height, width = self.layer.outgoing
        if self.membrane is None and self.layer.neurons is not None:
            size = height * width * self.layer.padded_channels
            self.membrane, *others = (aligned_empty(size) for _ in range(self.layer.variables))
            self.others = tuple(others)
            if self.watched and self.layer.stepper is not None:
                self.membrane[:] = 0  # such a kernel leaves out what fills up the channels

    def watch(self) -> None:
        """RangeError where a potential or the readout has left the range of float32.

        None comes back from there: what is infinite stays so or becomes NaN, which is neither fired nor reset.
        """
        if not self.watched:
            return
        if self.layer.neurons is None:
            if not all_finite(self.readout):
                raise beyond(self.layer.name, "the readout")
        elif self.membrane is not None and not all_finite(self.membrane):
            raise beyond(self.layer.name, "a membrane potential")

    def inject(self) -> None:
        """Make room for the analog input's current, which each band computes in the first group of steps."""
        for part in self.parts:
            layer = part.layer
            if layer.injects:
                _, height, width = layer.outgoing
                part.constant_stride = layer.padded_channels
                part.constant = aligned_empty(height * width * layer.padded_channels)

    def move_on(self, steps: int) -> None:
        """Note that some steps have been run."""
        self.done += steps
        for each in (self, *self.parts):
            each.fresh = False

    def begin(self) -> None:
        """Forget what has been run."""
        self.done = 0
        for each in (self, *self.parts):
            each.fresh = True


@dataclass(eq=False)
class Inputs:
    """What a layer reads in a group of steps.

    Parameters
    ----------
    queues : list of (Source, EventQueue, (256,) float32)
        Each spiking source with its queue and the value of each level.
    picture : (H, W, C) float32
        The analog input.
    in_place : bool
        Whether the picture has all channels that the layer reads, zeros where those are spikes: of a layer that reads
        several inputs. Otherwise it is what each of the layer's analog sources is.
    """

    queues: list[tuple[Source, EventQueue, NDArray[np.float32]]]
    picture: NDArray[np.float32]
    in_place: bool = False


def inputs_of(layer: Layer, queues: list[tuple[Source, EventQueue, NDArray[np.float32]]], picture: Any) -> Inputs:
    """What a layer that is no sum reads: its queues, and what it takes of the joined pictures, (H, W, C) float32."""
    parts = {source.name: picture_of(source, picture) for source in layer.analog}
    if len(parts) < 2:
        return Inputs(queues, next(iter(parts.values()), picture))
    whole = np.zeros((*picture.shape[:2], layer.incoming[0]), np.float32)
    for source in layer.analog:
        whole[..., source.channel_offset : source.channel_offset + source.channels] = parts[source.name]
    return Inputs(queues, whole, in_place=True)


def picture_of(source: Source, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The channels of the joined pictures, (H, W, C), that an analog source is."""
    if picture.shape[2] == source.channels:
        return picture
    return np.ascontiguousarray(picture[..., source.picture_channel : source.picture_channel + source.channels])
