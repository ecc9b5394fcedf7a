"""Kernels that slide: which taps reach which outputs along an axis, and what follows from that for any such kind.

A convolution reads one set of taps for all output pixels. A transposed convolution of stride s falls into s phases
along an axis, one for each remainder of the output position, and each phase is an ordinary convolution of stride 1 with
a part of the kernel. Building, tiling and counting all read these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..graph import FanOut, Projection, Shape, Weighted, ZeroFanOut
from ..lazy import lazy_property
from ..memory import worked_out_once

if TYPE_CHECKING:
    from ..binding.layer import Binding, Layer


AxisPairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class AxisPhase:
    """Taps of one phase along one axis, by ascending offset.

    Output `first + i * output_step` reads the input `i * input_step + offset` through the kernel index of that offset.
    """

    first: int
    offsets: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """All phases along one axis.

    Where `divisor` is not 1, an output reads an input `i * input_step + offset` only if that is a multiple of the
    divisor: of the input that many times less.
    """

    output_step: int
    input_step: int
    phases: tuple[AxisPhase, ...]
    divisor: int = 1

    @lazy_property
    def reading(self) -> tuple[AxisPhase, ...]:
        """Phases that have taps: of a large stride, hardly any."""
        return tuple(phase for phase in self.phases if phase.offsets)

    @property
    def reach(self) -> int:
        """Inputs from the first one that an output reads to the last one, at most."""
        return max((phase.offsets[-1] - phase.offsets[0] + 1 for phase in self.reading), default=0)

    def inputs(self, first: int, last: int) -> tuple[int, int]:
        """First and last + 1 input that the outputs first ... last - 1 read; both may lie beyond the input.

        (0, 0) where they read nothing.
        """
        spans = []
        for phase in self.reading:
            begin = max(0, -((phase.first - first) // self.output_step))
            end = (last - 1 - phase.first) // self.output_step
            if begin <= end:
                lowest, highest = phase.offsets[0], phase.offsets[-1]
                spans.append((begin * self.input_step + lowest, end * self.input_step + highest + 1))
        return (min(span[0] for span in spans), max(span[1] for span in spans)) if spans else (0, 0)

    def pairs(self, size: int, out_size: int) -> AxisPairs:
        """Each input that an output reads, once for each tap: the input, the output, the tap's place, kernel index."""
        found = [np.zeros((4, 0), np.int64)]
        for phase in self.reading:
            outputs = np.arange(phase.first, out_size, self.output_step)
            inputs = np.add.outer(phase.offsets, np.arange(len(outputs)) * self.input_step)
            place, number = np.nonzero((inputs >= 0) & (inputs < size))
            found.append(np.stack([inputs[place, number], outputs[number], place, np.array(phase.indices)[place]]))
        inputs, outputs, places, indices = np.concatenate(found, axis=1)
        return inputs, outputs, places, indices

    def fan_out(self, size: int, out_size: int) -> NDArray[np.int64]:
        """(size,): how many outputs each input position reaches."""
        return np.bincount(self.pairs(size, out_size)[0], minlength=size)

    def fan_out_by_tap(self, taps: int, size: int, out_size: int) -> NDArray[np.int64]:
        """(size, taps): how many outputs each input position reaches through each kernel index, 0 or 1."""
        inputs, _, _, indices = self.pairs(size, out_size)
        return np.bincount(inputs * taps + indices, minlength=size * taps).reshape(size, taps)


@worked_out_once(256)
def sliding_axis(size: int, stride: int, padding: int, dilation: int = 1) -> Axis:
    """A kernel of `size` taps that slides over the input: convolutions and pools."""
    taps = range(size)
    return Axis(1, stride, (AxisPhase(0, tuple(tap * dilation - padding for tap in taps), tuple(taps)),))


@worked_out_once(256)
def transposed_axis(size: int, stride: int, padding: int, dilation: int = 1) -> Axis:
    """A kernel of `size` taps that each input spreads over the output: transposed convolutions."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(stride)]
    for tap in range(size):
        place = tap * dilation - padding
        found[place % stride].append((-(place // stride), tap))
    phases = []
    for first, taps in enumerate(found):
        taps.sort()
        phases.append(AxisPhase(first, tuple(offset for offset, _ in taps), tuple(tap for _, tap in taps)))
    return Axis(stride, 1, tuple(phases))


class RegularTaps(Projection):
    """Synapses that are a regular pattern of taps: a kind says which, and how many channels one event reaches."""

    def axes(self, incoming: Shape) -> tuple[Axis, Axis]:
        """Vertical and horizontal taps."""
        raise NotImplementedError

    @property
    def channel_targets(self) -> int:
        """Output channels that an event reaches through a tap."""
        return 1

    def input_rows(self, first: int, last: int, incoming: Shape) -> tuple[int, int]:
        low, high = self.axes(incoming)[0].inputs(first, last)
        low, high = max(low, 0), min(high, incoming[1])
        return (low, high) if low < high else (0, 0)

    def fan_out(self, incoming: Shape) -> FanOut:
        sizes = zip(self.axes(incoming), incoming[1:], self.output_shape(incoming)[1:], strict=True)
        rows, columns = (axis.fan_out(into, out) for axis, into, out in sizes)
        return FanOut(rows, columns, self.channel_targets)


class WeightedTaps(RegularTaps, Weighted):
    """A regular pattern of taps with weights: `dense_kernel` says how these lie on the taps."""

    def dense_kernel(self, weight: NDArray[Any], incoming: Shape) -> NDArray[Any]:
        """An array shaped like the weight as (kernel height, kernel width, in_channels, out_channels).

        Zeros where groups do not meet.
        """
        raise NotImplementedError

    @property
    def is_gathered(self) -> bool:
        """Whether its current is gathered tap by tap, and not computed from all values that are read."""
        return True

    def packing_key(self, incoming: Shape) -> tuple[int, ...]:
        """What `dense_kernel` depends on besides the weight."""
        return ()

    def zero_fan_out(self, incoming: Shape, nonzero: NDArray[np.int64]) -> ZeroFanOut | None:
        sizes = zip(self.axes(incoming), nonzero.shape[1:], incoming[1:], self.output_shape(incoming)[1:], strict=True)
        (row_kinds, row_classes), (column_kinds, column_classes) = (
            np.unique(axis.fan_out_by_tap(taps, into, out), axis=0, return_inverse=True)
            for axis, taps, into, out in sizes
        )
        zeros = np.einsum("yi,xj,cij->yxc", row_kinds, column_kinds, self.channel_targets - nonzero, optimize=True)
        return ZeroFanOut(row_classes.reshape(-1), column_classes.reshape(-1), np.ascontiguousarray(zeros))

    def bind(self, binding: Binding) -> Layer:
        from ..binding.gather_layer import GatherLayer

        if not self.is_gathered:
            return super().bind(binding)
        return GatherLayer(**vars(binding))


def nonzero_along(weight: NDArray[np.float32], axis: int) -> NDArray[np.int64]:
    """How many numbers along an axis are not zero."""
    return np.asarray(np.count_nonzero(weight, axis=axis), np.int64)
