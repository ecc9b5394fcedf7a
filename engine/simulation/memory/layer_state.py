"""What a layer carries from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...binding import Layer
from ...float32 import all_finite, beyond
from ...memory import aligned_empty
from ...neurons import LadderModel


@dataclass(eq=False)
class LayerState:
    """What a layer carries from one group of steps to the next; of a part of a sum, what is not in the sum's state.

    The neurons' variables are kept (`carries`) if there are further steps, or they are recorded.

    Attributes
    ----------
    arrays : tuple of (H * W * padded channels,) float32
        Each state variable of the neurons, the potential first; none where they are not kept.
    constant : float32
        Bias, or for each pixel the bias and the analog input's current, which it has once that is `injected`; the
        `constant_stride` is 0 for a bias alone, otherwise the padded channels.
    readout : (H, W, O) float32
        Running sum of the currents of a layer without neurons.
    fresh : bool
        Whether neurons begin with the next step; compiled calls, and ladders of thresholds, do not ask for it.
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
        self.fresh, self.done, self.injected = True, 0, False
        alone = layer.parts == (layer,)
        self.summands = [] if alone else [LayerState(part, is_part=True) for part in layer.parts]
        self.synaptic: NDArray[np.float32] | None = None
        if alone and layer.node.state_values:
            self.synaptic = np.zeros((height, width, channels, layer.node.state_values), np.float32)
        self.awake: NDArray[np.uint8] | None = None
        if (layer.event_driven or layer.rest is not None) and not self.is_part:
            self.awake = np.ones(height * width, np.uint8)
        self.arrays: tuple[NDArray[np.float32], ...] = ()
        if layer.neurons is not None and self.carries:
            size = height * width * layer.padded_channels
            self.arrays = tuple(aligned_empty(size) for _ in range(layer.variables))
        elif layer.neurons is None and not self.is_part:
            self.readout = np.zeros((height, width, channels), np.float32)

    @property
    def membrane(self) -> NDArray[np.float32] | None:
        """Potentials, where they are kept."""
        return self.arrays[0] if self.arrays else None

    @property
    def parts(self) -> list[LayerState]:
        """What each part of a sum carries; of another layer itself, which must not hold itself."""
        return self.summands or [self]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        arrays: list[Any] = [self.constant, *self.arrays, self.synaptic, self.awake, *self.summands]
        return sum(each.nbytes for each in arrays if each is not None)

    def begin(self) -> None:
        """Forget what has been run."""
        self.show_new()
        self.done = 0
        for each in (self, *self.parts):
            each.fresh = True
            if each.synaptic is not None:
                each.synaptic[:] = 0
        if self.layer.neurons is None:
            self.readout[:] = 0
        elif self.arrays:
            # Neurons may be left in their rest. Other kernels of steps leave out what fills up the channels.
            steps = self.layer.stepper is not None
            states = self.layer.rest or (np.float32(0),) if steps else (self.layer.initial,)
            for array, state in zip(self.arrays, states, strict=False):
                array.reshape(-1, self.layer.padded_channels)[:] = state
            self.fresh = not steps or self.layer.rest is None
        if self.awake is not None:
            ladder = self.layer.neurons is not None and self.layer.stepper is None
            at_first = self.layer.neurons is not None and self.layer.rest is None
            self.awake[:] = _awake_in(self.layer, [self.layer.initial[None]]) if ladder else at_first

    def show_new(self) -> None:
        """Note that the analog input is another one from now on."""
        for each in (self, *self.parts):
            each.injected = False

    def move_on(self, steps: int) -> None:
        """Note that some steps have been run."""
        self.done += steps
        for each in (self, *self.parts):
            each.fresh, each.injected = False, True

    @property
    def variables(self) -> NDArray[np.float32]:
        """(V, C, H, W), a copy of what is carried of each neuron, the potential first."""
        channels, height, width = self.layer.outgoing
        arrays = [array.reshape(height, width, -1)[..., :channels] for array in self.arrays]
        return np.stack([array.transpose(2, 0, 1) for array in arrays])

    @variables.setter
    def variables(self, values: NDArray[np.float32]) -> None:
        channels, height, width = self.layer.outgoing
        for array, value in zip(self.arrays, values, strict=True):
            array.reshape(height, width, -1)[..., :channels] = value.transpose(1, 2, 0)
        self.fresh = False
        if self.awake is not None:
            self.awake[:] = _awake_in(self.layer, [array.reshape(height * width, -1) for array in self.arrays])

    def watch(self) -> None:
        """RangeError where a potential or the readout has left the range of float32.

        None comes back from there: what is infinite stays so or becomes NaN, which is neither fired nor reset.
        """
        if self.layer.neurons is None:
            if not all_finite(self.readout):
                raise beyond(self.layer.name, "the readout")
        elif self.membrane is not None and not all_finite(self.membrane):
            raise beyond(self.layer.name, "a membrane potential")


def _awake_in(layer: Layer, variables: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
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
