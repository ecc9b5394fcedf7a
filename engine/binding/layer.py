"""A layer: synapses and the neurons (or the readout) that they feed, bound to a picture's shape.

What is the same for all of them is here; how the current of some synapses is computed is in gather_layer.py (weights on
a regular pattern of taps), pool_layer.py (means), value_layer.py (any other kind) and sum_layer.py (several at once).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from ..float32 import held
from ..graph import FanOut, Neurons, Shape, Synapses, ZeroFanOut, weights_and_biases
from ..graph.answers import checked_fan_out, checked_products, checked_rows, checked_zero_fan_out
from ..kernels.firing import neuron_array
from ..kernels.processor import host_lanes
from ..kernels.tables import FanTables, ZeroTables
from ..kernels.window_block import Token, accumulators
from ..lazy import KnownOf, lazy_property
from ..neurons import LadderModel, LevelTable, level_table
from .kernel_choice import EVENTS, PICTURE, AllowedKernels
from .plan import padded_bias
from .stepper import Stepper, stepper_of

RowRange = tuple[int, int]
"""First row and last row + 1."""

_nonzero: KnownOf[Synapses, NDArray[np.int64]] = KnownOf()
"""Non-zero weights of nodes that are alive: counted once, because there are millions of weights."""

NOTHING_READ = (0, 0)
"""What `Layer.input_rows` says of output rows that read padding alone."""


@dataclass(frozen=True)
class Source:
    """A part of a layer's input: the node it comes from, its channels, and where they begin in the joined input.

    `levels` is what its neurons' levels mean, or those of an encoder; None for the analog input, which begins at
    `picture_channel` of what all Input nodes get. `delay` steps pass before events arrive.
    """

    name: str
    channels: int
    channel_offset: int
    analog: bool
    levels: LevelTable | None = field(compare=False)
    delay: int = 0
    picture_channel: int = 0

    @property
    def place(self) -> slice:
        """Its channels in the joined input."""
        return slice(self.channel_offset, self.channel_offset + self.channels)

    def of_picture(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The channels of all inputs, (H, W, C), that an analog source is."""
        if picture.shape[2] == self.channels:
            return picture
        return np.ascontiguousarray(picture[..., self.picture_channel : self.picture_channel + self.channels])

    @property
    def emit(self) -> NDArray[np.float32]:
        """(256,), the value of each level of what spikes."""
        assert self.levels is not None
        return self.levels.emit

    @property
    def thresholds(self) -> int:
        """Kinds of spikes of its neurons: thresholds, or levels; 0 for the analog input."""
        return 0 if self.levels is None else self.levels.kinds

    @lazy_property
    def scale(self) -> np.float32:
        """What a level's eight bits, read backwards as a number, are multiplied with to give its value, exactly.

        Thresholds of 8, 4, 2, ... quanta have such a number; 0 for others.
        """
        if self.levels is None or not self.levels.masks:
            return np.float32(0)
        backwards = self.levels.backwards
        emit = self.levels.emit[: len(backwards)]
        scale = np.float32(emit[-1] / backwards[-1])
        return scale if (backwards.astype(np.float32) * scale == emit).all() else np.float32(0)


@dataclass(frozen=True, eq=False)
class Window:
    """Some output rows of a layer, and the input rows that these read: all that there is of it in a tile.

    `is_new`, (input rows,), says whether no earlier tile has counted the row.
    """

    whole: Layer
    rows: RowRange
    inputs: RowRange
    is_new: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Binding:
    """What a layer is made of, which has the name of the Neurons or the Output.

    `incoming` and `outgoing` are (C, H, W), of the window where the layer is a part of a whole one.
    """

    name: str
    node: Synapses
    sources: tuple[Source, ...]
    incoming: Shape
    outgoing: Shape
    neurons: Neurons | None
    kernels: AllowedKernels
    window: Window | None = None


@dataclass(frozen=True, eq=False)
class Layer(Binding):
    """Synapses and the neurons (or the readout) that they feed, bound to a picture's shape."""

    # --- How the current is computed ---------------------------------------------------------------------------------

    @property
    def own_kernels(self) -> str:
        """What computes the current where nothing else is chosen, see `Result.kernels`."""
        return EVENTS if self.spiking else PICTURE

    @property
    def dense_kernels(self) -> str | None:
        """Kernels that the layer may run with instead, silent neurons included; None without any."""
        return None

    @property
    def block_width(self) -> int:
        """Output channels in a block."""
        return host_lanes()

    @property
    def event_driven(self) -> bool:
        """Whether neurons, or sums, are updated only where an event arrives, and where they fire by themselves."""
        return False

    @property
    def rest(self) -> tuple[NDArray[np.float32], ...] | None:
        """Each state variable, (1 or pixels, padded channels), in which neurons stay for as long as nothing arrives.

        Those that are not event-driven stay nowhere else. None where a neuron has no such state.
        """
        return None

    @property
    def row_step(self) -> int:
        """Output rows that stay together in a tile."""
        return 1

    def prepare(self) -> None:
        """Work out what all runs need, before several threads would do it at once."""
        _ = self.bias, [part.fan_out for part in self.parts]
        for part in self.parts if self.parts != (self,) else ():
            part.prepare()
        if self.neurons is not None:
            _ = self.neuron if self.stepper is None else self.stepper

    # --- What is read ------------------------------------------------------------------------------------------------

    @lazy_property
    def spiking(self) -> tuple[Source, ...]:
        """Sources that are neurons; one that a concatenation names twice comes twice."""
        return tuple(source for source in self.sources if not source.analog)

    @lazy_property
    def analog(self) -> tuple[Source, ...]:
        """Sources that are the analog input."""
        return tuple(source for source in self.sources if source.analog)

    @property
    def whole(self) -> Self:
        """The layer that this is a window of; itself where it is none."""
        return self if self.window is None else cast(Self, self.window.whole)

    @property
    def parts(self) -> tuple[Layer, ...]:
        """Layers without neurons whose currents add up to that of this one: itself where it is no sum."""
        return (self,)

    def input_rows(self, first: int, last: int) -> RowRange:
        """First and last + 1 input row that the output rows first ... last - 1 read."""
        if self.window is None:
            return checked_rows(self.node, first, last, self.incoming)
        top, (begin, _) = self.window.rows[0], self.window.inputs
        low, high = self.window.whole.input_rows(top + first, top + last)
        return (low - begin, high - begin) if low < high else NOTHING_READ

    def rows_of(self, rows: RowRange, counted: tuple[int, ...]) -> Layer:
        """Some output rows; `counted` input rows of each part have been counted."""
        inputs = self.input_rows(*rows)
        if inputs == NOTHING_READ:
            # Kernels want a row at least; it is not counted, and nothing is read from it.
            inputs, counted = (0, 1), (1,)
        return replace(
            self,
            incoming=(self.incoming[0], inputs[1] - inputs[0], self.incoming[2]),
            outgoing=(self.outgoing[0], rows[1] - rows[0], self.outgoing[2]),
            window=Window(self, rows, inputs, np.arange(*inputs) >= counted[0]),
        )

    def input_rows_of(self, bands: tuple[RowRange, ...]) -> NDArray[np.int64]:
        """(n, 2): first and last + 1 input row that each band of output rows reads."""
        return np.array([self.input_rows(*band) for band in bands], np.int64)

    # --- What is put out ---------------------------------------------------------------------------------------------

    @lazy_property
    def padded_channels(self) -> int:
        """Output channels, filled up to a whole number of blocks."""
        return -(-self.outgoing[0] // self.block_width) * self.block_width

    def token(self, steps: int) -> Token:
        """Shape of the accumulators for this many steps at once: as many as registers can hold."""
        return accumulators(steps, 1, self.block_width)

    @lazy_property
    def bias(self) -> NDArray[np.float32]:
        """Bias in the kernels' order; zeros where the current has it already."""
        return padded_bias(np.zeros(1, np.float32), self.padded_channels)

    @lazy_property
    def neuron(self) -> NDArray[np.float32]:
        """What the firing kernel takes."""
        assert self.neurons is not None
        assert isinstance(self.neurons.model, LadderModel)
        constants = self.neurons.model.firing_constants()
        return neuron_array(constants.decay, constants.keep, constants.compare, constants.subtract)

    @lazy_property
    def initial(self) -> tuple[NDArray[np.float32], ...]:
        """Each state variable before the first step, (1 or pixels, padded channels), the potential first."""
        if self.neurons is None:
            return ()
        states = (held(self.neurons.model.initial),) if self.stepper is None else self.stepper.initial
        one, first = np.ones((1, self.padded_channels), np.float32), self.first_pixel
        own = slice(first, first + math.prod(self.outgoing[1:]))
        of_rows = (state[own] if np.ndim(state) and len(state) > 1 else state for state in states)
        return tuple((one * state).astype(np.float32) for state in of_rows)

    @lazy_property
    def stepper(self) -> Stepper | None:
        """What runs neurons that are no ladder of thresholds."""
        if self.window is not None:
            return self.window.whole.stepper
        return None if self.neurons is None else stepper_of(self.neurons.model, self.name, self.padded_channels)

    @property
    def first_pixel(self) -> int:
        """Where the output begins among the pixels of the whole one; 0 where the layer is no part."""
        window = self.parts[0].window
        return 0 if window is None else window.rows[0] * self.outgoing[2]

    @lazy_property
    def levels(self) -> LevelTable | None:
        """What the neurons' levels mean; None without neurons."""
        return None if self.neurons is None else level_table(self.neurons.model)

    @lazy_property
    def thresholds(self) -> int:
        """Kinds of spikes of the neurons, which are counted apart: thresholds, or levels; 0 without neurons."""
        return 0 if self.levels is None else self.levels.kinds

    @lazy_property
    def variables(self) -> int:
        """State variables of a neuron."""
        return 1 if self.stepper is None else self.stepper.variables

    # --- What is counted ---------------------------------------------------------------------------------------------

    @lazy_property
    def fan_out(self) -> FanOut:
        """Targets of each event, in all of the layer's output; of a window, for the rows that it counts."""
        if self.window is None:
            return checked_fan_out(self.node, self.incoming)
        whole = self.window.whole.fan_out
        rows = np.where(self.window.is_new, whole.rows[slice(*self.window.inputs)], 0)
        return FanOut(rows, whole.columns, whole.channels)

    @lazy_property
    def weights_and_biases(self) -> tuple[int, int]:
        """Number of weights and number of biases; of biases that are all zero none."""
        return weights_and_biases(self.node)

    @property
    def nonzero_weights(self) -> NDArray[np.int64]:
        """See `Synapses.nonzero_weights`."""
        return _nonzero.get(self.node, None, self.node.nonzero_weights)

    @lazy_property
    def zero_weights(self) -> int:
        """Number of weights that are zero."""
        weights, _ = self.weights_and_biases
        return weights - int(self.nonzero_weights.sum()) if weights else 0

    @lazy_property
    def zero_fan_out(self) -> ZeroFanOut | None:
        """Weights of zero that each event meets; None where no weight is zero."""
        if not self.zero_weights:
            return None
        if self.window is None:
            return checked_zero_fan_out(self.node, self.incoming, self.nonzero_weights)
        whole = self.window.whole.zero_fan_out
        if whole is None:
            return None
        kinds = len(whole.zeros)
        classes = np.where(self.window.is_new, whole.row_classes[slice(*self.window.inputs)], kinds)
        nothing = np.zeros((1, *whole.zeros.shape[1:]), np.int64)
        return ZeroFanOut(classes, whole.column_classes, np.concatenate([whole.zeros, nothing]))

    @lazy_property
    def fan_tables(self) -> FanTables:
        """The fan-out as counting kernels take it; of a window none is the usual one, and every event is looked at."""
        fan = self.fan_out
        return FanTables(fan.rows, fan.columns, *(fan.usual if self.window is None else (0, 0)))

    @lazy_property
    def zero_tables(self) -> ZeroTables | None:
        """The weights of zero that events meet, likewise."""
        zero = self.zero_fan_out
        return None if zero is None else ZeroTables(zero.row_classes, zero.column_classes, zero.zeros)

    def products(self, events: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Products (M, H, W, C) that events at M steps enter with one another, which no fan-out can say; None without.

        Those of rows that an earlier tile has counted are left out. GraphError where they are no such numbers, or the
        fan-out, by whose channels all counts are multiplied, has several.
        """
        found = self.node.products(events)
        if found is None:
            return None
        if self.fan_out.channels != 1:
            raise self.node.refuse("fan_out()", "must have 1 channel, because products() counts beside it")
        products = checked_products(self.node, found, self.incoming)
        return products if self.window is None else products * self.window.is_new[:, None, None]

    @lazy_property
    def most_products(self) -> NDArray[np.int64] | None:
        """(H, W, C) of a step in which all events are there; None, at once, of a kind whose fan-out says all."""
        if type(self.node).products is Synapses.products:
            return None
        found = self.products(np.ones((1, *self.incoming[1:], self.incoming[0]), np.bool_))
        return None if found is None else np.asarray(found[0])

    def most_products_of(self, source: Source) -> int:
        """Products that a source's events are counted with in a step in which all events are there."""
        return 0 if self.most_products is None else int(self.most_products[..., source.place].sum())

    @lazy_property
    def most_accumulates(self) -> int:
        """In a step, however many spikes each event counts for; what counting works out on the way is no more."""
        _, height, width = self.incoming
        spikes = [(source.channels, int(source.levels.spikes.max())) for source in self.spiking if source.levels]
        found = sum(channels * most for channels, most in spikes) * height * width * self.fan_out.most
        return found + sum(
            self.most_products_of(source) * source.levels.most_spikes for source in self.spiking if source.levels
        )

    @lazy_property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the ANN's layer."""
        return self.node.dense_macs(self.whole.incoming)
