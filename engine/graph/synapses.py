"""Synapses: what every kind of them can be asked. The kinds themselves are in engine/layers, one file each.

A kind is a frozen dataclass that derives from `Projection` (it reads one node) or, if it has weights, from `Weighted`.
It says what shape it puts out and how its current is computed; what is left out here as a default can stay so. See
docs/layers.md for how to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .answers import checked_fan_out
from .fields import check_channels, count, set_array, set_bias
from .limits import MOST_DELAY
from .node import Node, Shape
from .reach import FanOut, ZeroFanOut

if TYPE_CHECKING:
    from ..binding.layer import Binding, Layer

Array = NDArray[Any]
Value = tuple[Array, ...]
"""Batches (M, H, W, channels of this part) that follow one another along the channels."""


class Rows(NamedTuple):
    """Output rows to compute, and the input rows that are there for it.

    Parameters
    ----------
    first, last : int
        First output row, and last + 1.
    first_input : int
        Row of the input that the first one of the given values is.
    incoming : (C, H, W)
        Shape of the whole input.
    gathered : (M, G) float64 or None
        What `Synapses.gather` says of all rows of the input together; None of a kind that does not gather.
    """

    first: int
    last: int
    first_input: int
    incoming: Shape
    gathered: Array | None = None

    @property
    def height(self) -> int:
        """Number of output rows."""
        return self.last - self.first


@dataclass(frozen=True, eq=False)
class Synapses(Node):
    """A node that turns what its sources emit into an input current.

    With a `delay` of 1, what is emitted at a step arrives at the next one.
    """

    delay: int = field(default=0, kw_only=True)

    file_fields: ClassVar[Mapping[str, str]] = {}
    """Fields that a model file holds, arrays apart, each with its sort: "integer", "pair", "number", "boolean",
    "text"."""

    arrays: ClassVar[tuple[str, ...]] = ()
    """Fields that are arrays of numbers to train: none, or "weight" and "bias"."""

    state_values: ClassVar[int] = 0
    """Numbers that the synapses keep from step to step for each number that they put out."""

    goes_by_sums: ClassVar[bool] = False
    """Whether what it puts out goes by sums over the steps, which rounding may leave just below a threshold."""

    gathers: ClassVar[bool] = False
    """Whether `current` must know sums over all of the input at a step, whatever rows it computes: see `gather`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", count(self, "delay", self.delay, 0, MOST_DELAY))

    # --- Shapes ------------------------------------------------------------------------------------------------------

    @property
    def size_factor(self) -> Fraction:
        """Rows and columns that are put out for each one that is read, where pictures are large."""
        return Fraction(1)

    def channels_out(self, channels: int) -> int:
        """Channels that are put out where so many come in; GraphError where these do not fit."""
        return channels

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        """First and last + 1 input row that the output rows first ... last - 1 read, within the input.

        (0, 0) where they read nothing. By default all rows.
        """
        return 0, incoming[1]

    # --- Currents ----------------------------------------------------------------------------------------------------

    def current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        """Current of some output rows, with the bias; several threads may call it at once, for different rows.

        Parameters
        ----------
        values : (M, h, W, C) float
            The input rows that `input_rows` asks for, not to be written to; one after the other M steps, or M pictures.
        rows : Rows
        state : (last - first, W', C', state_values) float32, to be moved on; None for a kind without a state
            All zeros before the first step. With a state, M are steps.

        Returns
        -------
        (M, last - first, W', C') float, of the type of `values`
        """
        raise NotImplementedError

    def gather(self, values: Array) -> Array:
        """Of some rows (M, h, W, C), numbers that are added up over all rows of the input, row by row.

        Returns
        -------
        (M, h, G) float64, G of them
        """
        raise NotImplementedError

    def gathered(self, values: Array) -> Array | None:
        """Those of all rows together, (M, G), of the whole input; None for a kind without any."""
        if not self.gathers:
            return None
        # One row after the other, so that the sum does not depend on how many are at hand at once.
        return np.add.accumulate(self.gather(values), axis=1)[:, -1]

    def checked_current(self, values: Array, rows: Rows, state: Array | None = None) -> Array:
        """What `current` returns; GraphError where that is of another shape than it must be, or holds no floats."""
        returned = self.current(values, rows, state)
        found = np.asarray(returned)
        channels, _, width = self.output_shape(rows.incoming)
        shape = (len(values), rows.height, width, channels)
        if found.shape != shape:
            given = "None" if returned is None else found.shape  # where a return is missing
            raise self.refuse("current()", f"must return an array of the shape {shape} (got {given})")
        if found.dtype.kind != "f":
            raise self.refuse("current()", f"must return floating-point numbers (got {found.dtype})")
        return found.astype(values.dtype, copy=False)

    def forward(self, value: Value, kept: dict[str, Any] | None = None) -> Array:
        """Current (M, H', W', C') of the analog network (ANN) for `value`, parts (M, H, W, C_part).

        A dictionary `kept` receives what `backward` can use again, under the node's name.
        """
        if self.state_values:
            raise InputError(f"{type(self).__name__} {self.name!r} keeps a state and has no analog form: no forward()")
        values, rows = self._whole(value)
        return self.checked_current(values, rows)

    def _whole(self, value: Value) -> tuple[Array, Rows]:
        """The parts joined, and all rows."""
        values = value[0] if len(value) == 1 else np.concatenate(value, axis=3)
        incoming = (values.shape[3], *values.shape[1:3])
        return values, Rows(0, self.output_shape(incoming)[1], 0, incoming, self.gathered(values))

    def fresh_state(self, incoming: Shape, dtype: Any = np.float32) -> Array | None:
        """(H', W', C', state_values) zeros, what `current` takes before the first step; None without a state."""
        if not self.state_values:
            return None
        channels, height, width = self.output_shape(incoming)
        return np.zeros((height, width, channels, self.state_values), dtype)

    def backward(
        self, value: Value, gradient: Array, into_input: bool = True, kept: dict[str, Any] | None = None
    ) -> tuple[Array | None, dict[str, Array]]:
        """Gradient of what was read (M, H, W, C), or None where it is not wanted, and by name those of the arrays.

        Parameters
        ----------
        value : tuple of (M, H, W, C_part)
        gradient : (M, H', W', C')
            Gradient of the current.
        into_input : bool
            Whether the gradient of the input is wanted.
        kept : dict, optional
            What `forward` kept of the same `value`.
        """
        raise InputError(f"{type(self).__name__} {self.name!r} has no backward pass: it cannot be trained")

    def forward_in_time(self, value: Value, steps: int) -> Array:
        """`forward` of so many steps, one after the other, of a kind with a state; the M are steps times pictures."""
        values, rows = self._whole(value)
        by_picture = values.reshape(steps, -1, *values.shape[1:]).swapaxes(0, 1)
        found = [self.checked_current(each, rows, self.fresh_state(rows.incoming, values.dtype)) for each in by_picture]
        return np.stack(found, axis=1).reshape(-1, *found[0].shape[1:])

    def backward_in_time(self, value: Value, gradient: Array, steps: int) -> Array:
        """Gradient of what was read, through time."""
        raise InputError(f"{type(self).__name__} {self.name!r} keeps a state and has no backward pass through time")

    def bind(self, binding: Binding) -> Layer:
        """The synapses, bound to shapes and to the kernels that compute their current; by default to `current`."""
        from ..binding.value_layer import ValueLayer

        return ValueLayer(**vars(binding))

    # --- What others have to know ------------------------------------------------------------------------------------

    def fan_out(self, incoming: Shape) -> FanOut:
        """Targets of each event."""
        raise NotImplementedError

    def products(self, events: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Products that each event enters beside those of `fan_out`, where that is up to the other events of the step.

        Of an event that enters a product with others, one of them counts it. None where `fan_out` says all.

        Parameters
        ----------
        events : (M, H, W, C) bool
            Where there is an event, at each of M steps.

        Returns
        -------
        (M, H, W, C) int64, 0 where there is no event
        """
        return None

    def zero_fan_out(self, incoming: Shape, nonzero: NDArray[np.int64]) -> ZeroFanOut | None:
        """Weights of zero that each event meets; `nonzero` comes from `nonzero_weights`."""
        return None

    def nonzero_weights(self) -> NDArray[np.int64]:
        """Non-zero weights by input channel, and whatever else `zero_fan_out` tells apart; empty without weights."""
        return np.zeros(0, np.int64)

    def dense_macs(self, incoming: Shape) -> int:
        """Multiply-accumulates of the ANN's layer, padding included, as profilers count them; 0 without weights."""
        return 0

    def interchange(self, incoming: Shape, part: tuple[int, int]) -> tuple[str, dict[str, Any]] | None:
        """The layer in NIR, of the input channels part[0] ... part[1] - 1: the kind of a node, and its fields.

        The bias goes with the first channels. None where NIR has no such node, or the channels cannot be told apart.
        """
        return None

    def gain(self) -> tuple[float, float, int] | None:
        """Sizes of the largest weight and of the largest bias, and the most products in a sum; None where unknown.

        Crude is enough: they tell numbers of any ordinary size from those that a float32 number may not hold.
        """
        return None

    def pass_on(self, by_channel: Array) -> Array:
        """Of something that each channel read has (a scale), what each channel put out has; without weights only.

        InputError where an output channel mixes channels that differ.
        """
        return by_channel

    @property
    def keeps_channels(self) -> bool:
        """Whether each output channel is made of the input channel of its number alone, and is as large."""
        return False

    @property
    def homogeneous(self) -> bool:
        """Whether the current, its bias apart, is as many times as large as all that is read.

        Scales of normalisation rest on that, and sums over the steps in accumulated flow.
        """
        return True

    @property
    def enlarges(self) -> bool:
        """Whether what is put out may be larger than all that is read, though there are no weights."""
        return False


@dataclass(frozen=True, eq=False)
class Projection(Synapses):
    """Synapses that read one node: the Input, Neurons, or a Join of them."""

    source: str = field()

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class CurrentSum(Synapses):
    """Synapses that add the currents of other synapses up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delay:
            raise self.refuse("delay", "must be 0: what is added up has delays of its own")


@dataclass(frozen=True, eq=False)
class Weighted(Projection):
    """Synapses with a weight, the output channels first (axis 0), then those of a group's inputs, and a bias.

    A kind has the fields `weight` and `bias`, and calls `check_arrays` in its `__post_init__`. One that is not
    `homogeneous` may have rows of weights for other numbers than its outputs: nothing is folded into them, and they are
    not rounded to integers.
    """

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    scales_channels: ClassVar[bool] = False
    """Whether each output is the number at its place that is read, times the channel's weight, plus its bias."""

    if TYPE_CHECKING:
        weight: Array
        bias: Array

    def check_arrays(self, dimensions: int) -> None:
        """Keep weight and bias as float32 arrays that cannot be written to; None as a bias stands for zeros.

        GraphError where the weight has another number of dimensions or a number is not finite.
        """
        set_array(self, "weight", self.weight, dimensions)
        set_bias(self, self.out_channels)

    @property
    def group_count(self) -> int:
        """Groups of channels that do not meet."""
        return 1

    @property
    def in_channels(self) -> int:
        """Channels, or features, that the source must put out."""
        return int(self.weight.shape[1]) * self.group_count

    @property
    def out_channels(self) -> int:
        """Channels of the current."""
        return len(self.weight)

    @property
    def sums_all_weights(self) -> bool:
        """Whether each output adds up products with all weights of its channel: none of them meets padding."""
        return False

    def channels_out(self, channels: int) -> int:
        check_channels(self, channels, self.in_channels)
        return self.out_channels

    def gain(self) -> tuple[float, float, int]:
        largest, bias = (float(max(array.max(), -array.min())) for array in (self.weight, self.bias))
        return largest, bias, self.weight.size

    def nonzero_weights(self) -> NDArray[np.int64]:
        return np.asarray(self.sum_by_input(np.asarray(self.weight != 0, np.int64), self.in_channels), np.int64)

    def dense_macs(self, incoming: Shape) -> int:
        # Without the padding, which only the kind itself knows of.
        return checked_fan_out(self, incoming).total(incoming[0])

    # --- The axes of the weight: for arrays of its shape, whatever they hold -----------------------------------------

    def by_output(self, weight: Array) -> Array:
        """(out_channels, weights of a channel)."""
        return weight.reshape(len(weight), -1)

    def from_rows(self, rows: Array) -> Array:
        """The inverse of `by_output`."""
        return rows.reshape(self.weight.shape)

    def along_outputs(self, by_channel: Array) -> Array:
        """A number for each output channel, (out_channels,), as it multiplies the weight."""
        return by_channel.reshape(-1, *[1] * (self.weight.ndim - 1))

    def along_inputs(self, by_channel: Array) -> Array:
        """A number for each input channel as it multiplies the weight; fewer stand for several neighbours each."""
        every = np.repeat(by_channel, self.in_channels // len(by_channel)).reshape(self.group_count, -1)
        by_group = np.repeat(every, len(self.weight) // self.group_count, axis=0)
        return by_group.reshape(*by_group.shape, *[1] * (self.weight.ndim - 2))

    def sum_by_output(self, weight: Array) -> Array:
        """(out_channels,), sums over all but the output channels."""
        return np.asarray(self.by_output(weight).sum(1))

    def sum_by_input(self, weight: Array, channels: int) -> Array:
        """(channels,), sums over all but the input channels, of which several neighbours may count as one."""
        pairs = weight.reshape(*weight.shape[:2], -1).sum(2)
        by_input = pairs.reshape(self.group_count, -1, pairs.shape[1]).sum(1).reshape(-1)
        return np.asarray(by_input.reshape(channels, -1).sum(1))
