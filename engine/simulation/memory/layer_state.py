"""What a layer carries from step to step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...float32 import all_finite, beyond, without_subnormals
from ...memory import aligned_empty
from ...neurons import LadderModel
from ...results.state import State


@dataclass(eq=False)
class LayerState:
    """What a layer carries from one group of steps to the next; of a part of a sum, what is not in the sum's state.

    The neurons' variables are kept (`carries`) if there are further steps, or they are recorded.

    Attributes
    ----------
    arrays : (V, H * W * padded channels) float32
        Each state variable of the neurons, the potential first; none where they are not kept.
    constant : float32
        Bias, or for each pixel the bias and the analog input's current, which it has once that is `injected`; the
        `constant_stride` is 0 for a bias alone, otherwise the padded channels.
    readout : (H, W, O) float32
        Running sum of the currents of a layer without neurons.
    done : int
        How many steps have been run, those before a state was taken up included; compiled calls do not count them.
    synaptic : (H, W, C, state_values) float32 or None
        What the synapses themselves carry.
    awake : (H * W,) uint8 or None
        Of a layer that is event-driven or has a rest: 1 where a pixel's neurons may fire or change though nothing
        arrives.
    """

    layer: Layer
    carries: bool = False
    is_part: bool = False

    def __post_init__(self) -> None:
        layer, (channels, height, width) = self.layer, self.layer.outgoing
        self.constant, self.constant_stride = layer.bias, 0
        self.done, self.injected = 0, False
        alone = layer.parts == (layer,)
        self.summands = [] if alone else [LayerState(part, is_part=True) for part in layer.parts]
        self.synaptic: NDArray[np.float32] | None = None
        if alone and layer.node.state_values:
            self.synaptic = np.zeros((height, width, channels, layer.node.state_values), np.float32)
        self.awake: NDArray[np.uint8] | None = None
        if (layer.event_driven or layer.rest is not None) and not self.is_part:
            self.awake = np.ones(height * width, np.uint8)
        kept = layer.variables if layer.neurons is not None and self.carries else 0
        size = height * width * layer.padded_channels
        self.arrays = aligned_empty(kept * size).reshape(kept, size)
        if layer.neurons is None and not self.is_part:
            self.readout = np.zeros((height, width, channels), np.float32)

    @property
    def membrane(self) -> NDArray[np.float32] | None:
        """Potentials, where they are kept."""
        return self.arrays[0] if len(self.arrays) else None

    @property
    def parts(self) -> list[LayerState]:
        """What each part of a sum carries; of another layer itself, which must not hold itself."""
        return self.summands or [self]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        arrays: list[Any] = [self.constant, self.arrays, self.synaptic, self.awake, *self.summands]
        return sum(each.nbytes for each in arrays if each is not None)

    def begin(self) -> None:
        """Forget what has been run."""
        self.done = 0
        for part in self.parts:
            if part.synaptic is not None:
                part.synaptic[:] = 0
        if self.layer.neurons is None:
            self.readout[:] = 0
        for array, first in zip(self.arrays, self.layer.initial, strict=False):
            array.reshape(-1, self.layer.padded_channels)[:] = first
        if self.awake is not None:
            self.awake[:] = self.layer.neurons is not None and _awake_in(self.layer, self.layer.initial)

    def go_on(self, before: State) -> None:
        """Take up what another run has left."""
        for kind, name, view in self.views():
            view[:] = without_subnormals(getattr(before, kind)[name])
        self.done = before.steps
        if self.layer.neurons is None:
            self.readout += np.float32(0)  # which leaves no sum of -0
        elif self.awake is not None:
            self.awake[:] = _awake_in(self.layer, self.arrays.reshape(len(self.arrays), len(self.awake), -1))

    def show_new(self) -> None:
        """Note that the analog input is another one from now on."""
        for each in (self, *self.parts):
            each.injected = False

    def move_on(self, steps: int) -> None:
        """Note that some steps have been run."""
        self.done += steps
        for each in (self, *self.parts):
            each.injected = True

    @property
    def variables(self) -> NDArray[np.float32]:
        """(V, C, H, W), a view of what is kept of each neuron, the potential first."""
        channels, height, width = self.layer.outgoing
        by_pixel = self.arrays.reshape(len(self.arrays), height, width, self.layer.padded_channels)
        return by_pixel[..., :channels].transpose(0, 3, 1, 2)

    def views(self) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        """What is carried on besides events, channels first: how `State` calls its kind, its name, and a view of it."""
        if self.layer.neurons is None:
            yield "readouts", self.layer.name, self.readout.transpose(2, 0, 1)
        else:
            yield "neurons", self.layer.name, self.variables
        for part in self.parts:
            if part.synaptic is not None:
                yield "synapses", part.layer.node.name, part.synaptic.transpose(3, 2, 0, 1)

    def watch(self) -> None:
        """RangeError where a potential or the readout has left the range of float32.

        None comes back from there: what is infinite stays so or becomes NaN, which is neither fired nor reset.
        """
        spikes = self.layer.neurons is not None
        what, numbers = ("a membrane potential", self.membrane) if spikes else ("the readout", self.readout)
        if numbers is not None and not all_finite(numbers):
            raise beyond(self.layer.name, what)


def _awake_in(layer: Layer, variables: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.bool_]:
    """(pixels,) where a neuron of a layer that leaves some out may not be at rest.

    `variables` are those of a neuron, each (pixels, padded channels). A ladder without leak fires without a current, or
    is a zero of which that changes the sign; others have a bit that is another one than in their `rest`. Where else
    than there a registered model that is event-driven rests, a step alone tells.
    """
    own = slice(layer.outgoing[0])
    if layer.event_driven and layer.stepper is None:
        assert layer.neurons is not None
        assert isinstance(layer.neurons.model, LadderModel)
        potentials, lowest = variables[0][:, own], layer.neurons.model.firing_constants().compare.min()
        return np.asarray(((potentials > lowest) | ((potentials == 0) & np.signbit(potentials))).any(axis=1))
    away = np.full(len(variables[0]), layer.rest is None)
    for each, of_rest in zip(variables, layer.rest or (), strict=layer.rest is not None):
        away |= (each[:, own].view(np.uint32) != of_rest[:, own].view(np.uint32)).any(axis=1)
    return away
