"""Networks in which no pixel meets another: what runs their pixels side by side, as samples, many steps at once.

Such a network is made of full connections of what one pixel's neurons emit: 1x1 convolutions, and `Linear` layers of
pictures of one pixel. What is asked of it besides keeps the kernels few (see engine/kernels/samples.py): spikes come in
as events and have the value 1, neurons are those of a registered model, all alike and without random numbers, and what
a population hears of itself is one connection, the last part of a sum. Any other network is run as pictures are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding.gather_layer import GatherLayer
from ..binding.integer_plan import IntegerTerms, integer_terms, make_integer_plan, pack_integers
from ..binding.layer import Layer, Source
from ..binding.plan import padded_bias
from ..binding.program import Program
from ..binding.stepper import Stepper
from ..kernels.dot import CHUNK_LEVELS, LANES, dot_token, host_dots
from ..lazy import lazy_property
from ..neurons import Heterogeneous

_SMALLEST_WEIGHT = 2.0**-100
"""Sums of numbers that are 0 or no smaller are never subnormal: they are multiples of the smallest one's last bit."""

_SHARES_THAT_PAY = {"vnni": 0.02, "tables": 0.2}
"""By kind of kernels, share of the channels of a row that must have an event for all of its bytes to be faster; in
proportion less where there are few outputs, because to find the events takes as long as with many."""

_MANY_OUTPUTS = 128

SHARES_OF_RETURNING = {"vnni": 0.03, "tables": 0.2}
"""The same of a population's own bytes, padding included."""

TableScratch = tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.int32]]
"""See `add_up_quads`."""


@dataclass(frozen=True, eq=False)
class SamplePart:
    """A full connection.

    Parameters
    ----------
    layer : GatherLayer
    source : Source
    padded : int
        Outputs, filled up to whole vectors.
    """

    layer: GatherLayer
    source: Source
    padded: int

    @lazy_property
    def weights(self) -> NDArray[np.float32]:
        """(inputs, padded) float32."""
        kernel = self.layer.node.dense_kernel(self.layer.node.weight, self.layer.incoming)[0, 0]
        weights = np.zeros((len(kernel), self.padded), np.float32)
        weights[:, : kernel.shape[1]] = kernel
        return weights

    @lazy_property
    def bias(self) -> NDArray[np.float32]:
        """(padded,) float32."""
        return padded_bias(self.layer.node.bias, self.padded)

    @lazy_property
    def _terms(self) -> IntegerTerms | None:
        """The integers whose sums the currents are, if they are; of `padded` outputs, unlike the layer's own."""
        return integer_terms(self.layer.node, self.layer.incoming, self.layer.sources, self.padded)

    @lazy_property
    def integers(self) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]] | None:
        """(bytes of a row, padded) int8, bias and scale of each output, where sums are exact so."""
        terms = self._terms
        if terms is None:
            return None
        kernel, outputs = terms.kernel.kernel[0, 0], self.layer.outgoing[0]
        weights = np.zeros((row_bytes(len(kernel)), self.padded), np.int8)
        weights[: len(kernel), :outputs] = kernel
        return weights, self.bias, padded_bias(terms.scale[:outputs], self.padded)

    @lazy_property
    def products(self) -> SampleProducts | None:
        """The same with silent channels."""
        terms, integers = self._terms, self.integers
        if terms is None or integers is None:
            return None
        weights, bias, scale = integers
        if "vnni" not in host_dots():
            vectors = (0,) * min(self.padded // LANES, 2)
            return SampleProducts("tables", (vectors, weights.reshape(-1)), (scale, bias))
        node, incoming, outgoing = self.layer.node, self.layer.incoming, self.layer.outgoing
        plan = make_integer_plan(*node.axes(incoming), incoming, outgoing, self.padded)
        packed = pack_integers(terms.kernel.kernel, plan)
        return SampleProducts("vnni", (dot_token("vnni", plan.vectors), packed), (scale, bias))

    @lazy_property
    def zeros(self) -> NDArray[np.int64] | None:
        """(inputs,) int64, weights of zero that each event meets; None where no weight is zero."""
        zero = self.layer.zero_fan_out
        if zero is None:
            return None
        of_pixel = zero.zeros[zero.row_classes[0], zero.column_classes[0]]
        return of_pixel[self.source.place]  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class SampleProducts:
    """What `add_products` takes of a connection, but for scratch memory.

    Parameters
    ----------
    kernels : "vnni" or "tables"
    weights : tuple
        Token or vectors, and flat int8.
    factors : scale and bias, (padded,) float32
    """

    kernels: str
    weights: tuple[Any, NDArray[np.int8]]
    factors: tuple[NDArray[np.float32], NDArray[np.float32]]

    def with_scratch(self, scratch: TableScratch) -> tuple[Any, ...]:
        """What kernels take."""
        return self.weights if self.kernels == "vnni" else (*self.weights, scratch)

    def pays(self, events: int, channels: int) -> bool:
        """Whether products are faster than going from event to event."""
        few = min(self.factors[0].size / _MANY_OUTPUTS, 1)
        return events >= _SHARES_THAT_PAY[self.kernels] * few * channels


@dataclass(frozen=True, eq=False)
class SampleLayer:
    """A population or a readout.

    Parameters
    ----------
    layer : Layer
    parts : tuple of SamplePart
        What is added up, but for what comes back.
    back : SamplePart or None
        What a population hears of itself, a step later.
    padded : int
        Channels, filled up to whole vectors.
    """

    layer: Layer
    parts: tuple[SamplePart, ...]
    back: SamplePart | None
    padded: int

    @property
    def in_order(self) -> tuple[SamplePart, ...]:
        """All that is added up, in the order of the layer's parts."""
        mine = {id(part.layer): part for part in (*self.parts, *([] if self.back is None else [self.back]))}
        return tuple(mine[id(part)] for part in self.layer.parts)

    @property
    def is_sum(self) -> bool:
        """Whether currents of several connections are added up, which begins with zero."""
        return self.layer.parts != (self.layer,)

    @property
    def stepper(self) -> Stepper | None:
        """What runs the neurons; None of a readout."""
        return self.layer.stepper

    @lazy_property
    def returning(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32] | None]:
        """Weights, bias and scale of what comes back, see `step_samples`; no weights where that is nothing."""
        if self.back is None:
            return np.zeros((0, self.padded), np.float32), np.zeros(self.padded, np.float32), None
        return self.back.integers or (self.back.weights, self.back.bias, None)

    def returning_products(self, scratch: TableScratch) -> tuple[Any, ...] | None:
        """Products of what comes back, see `step_samples`; None where there are none."""
        products = None if self.back is None else self.back.products
        if products is None:
            return None
        return products.with_scratch(scratch), SHARES_OF_RETURNING[products.kernels]


@dataclass(frozen=True, eq=False)
class Emitter:
    """What emits spikes: a population, or an Input.

    Parameters
    ----------
    channels : int
    spikes : int
        That an event counts for.
    readers : tuple of (int, SamplePart)
        Connections that read it and have weights of zero, by number among all connections.
    """

    channels: int
    spikes: int
    readers: tuple[tuple[int, SamplePart], ...]

    @lazy_property
    def zeros(self) -> NDArray[np.int64]:
        """(readers, channels) int64, weights of zero that an event meets."""
        rows = [part.zeros for _, part in self.readers]
        return np.array(rows, np.int64).reshape(len(rows), self.channels)


@dataclass(frozen=True, eq=False)
class SamplePlan:
    """A program whose pixels are run side by side.

    Parameters
    ----------
    program : Program
    layers : tuple of SampleLayer
        In the order in which they run.
    emitters : dict of Emitter
        By name of a Neurons or an Input.
    """

    program: Program
    layers: tuple[SampleLayer, ...]
    emitters: dict[str, Emitter]

    @property
    def widest(self) -> int:
        """Numbers that a sample has of the widest layer, filled up."""
        return max(layer.padded for layer in self.layers)


def sample_plan(program: Program) -> SamplePlan | None:
    """How a program's pixels are run side by side; None where they cannot be."""
    found = program.known("samples", lambda: _found(program))
    return SamplePlan(program, *found) if found else None


def _found(program: Program) -> tuple[tuple[SampleLayer, ...], dict[str, Emitter]] | tuple[()]:
    """What a plan has besides the program, which would hold the network, and that would live for ever."""
    layers = _layers(program)
    return () if layers is None else (layers, _emitters(program, layers))


def _emitters(program: Program, layers: tuple[SampleLayer, ...]) -> dict[str, Emitter]:
    sizes = {name: (shape[0], 1) for name, shape in program.encoded.items()}
    for layer in (each.layer for each in layers):
        if layer.levels is not None:
            sizes[layer.name] = layer.outgoing[0], int(layer.levels.spikes[1])
    every = enumerate(part for layer in layers for part in layer.in_order)
    parts = [(number, part) for number, part in every if part.zeros is not None]
    return {
        name: Emitter(
            *size, tuple((k, each) for k, each in parts if each.source.name == name and each.zeros is not None)
        )
        for name, size in sizes.items()
    }


def _layers(program: Program) -> tuple[SampleLayer, ...] | None:
    """All layers; None where one of them is none of full connections."""
    if program.encoders.keys() != program.inputs.keys():
        return None
    known, found = set(program.encoded), []
    for layer in program.layers:
        made = _sample_layer(layer, known)
        if made is None:
            return None
        found.append(made)
        known.add(layer.name)
    return tuple(found)


def _sample_layer(layer: Layer, known: set[str]) -> SampleLayer | None:
    """A layer that reads what is known by then, or itself; None where it is none of full connections."""
    if layer.neurons is not None and (layer.event_driven or not _has_simple_neurons(layer)):
        return None  # Of event-driven ones it would have to be counted which were updated.
    padded = padded_outputs(layer.outgoing[0])
    parts = []
    for part in layer.parts:
        if not (isinstance(part, GatherLayer) and _is_full_connection(part)):
            return None
        parts.append(SamplePart(part, part.sources[0], padded))
    own = [part for part in parts if part.source.name == layer.name]
    others = tuple(part for part in parts if part.source.name != layer.name)
    if len(own) > 1 or (own and (len(parts) > 2 or not others)):
        return None
    if any(part.source.name not in known for part in others):
        return None
    return SampleLayer(layer, others, own[0] if own else None, padded)


def row_bytes(channels: int) -> int:
    """Bytes of a row of so many channels."""
    return -(-channels // CHUNK_LEVELS) * CHUNK_LEVELS


def padded_outputs(channels: int) -> int:
    """Channels filled up to whole vectors, two at a time where there are several."""
    return LANES if channels <= LANES else -(-channels // (2 * LANES)) * 2 * LANES


def _has_simple_neurons(layer: Layer) -> bool:
    """Whether all neurons are alike, of a registered model, and a spike has the value 1."""
    assert layer.neurons is not None
    stepper, levels = layer.stepper, layer.levels
    if stepper is None or isinstance(layer.neurons.model, Heterogeneous) or stepper.registration.inputs:
        return False
    return levels is not None and levels.kinds == 1 and levels.emit[1] == 1


def _is_full_connection(part: GatherLayer) -> bool:
    """Whether each output pixel reads spikes of the value 1, of one source, at the same pixel and nowhere else."""
    if len(part.sources) != 1 or part.sources[0].analog:
        return False
    levels = part.sources[0].levels
    single = levels is not None and levels.kinds == 1 and levels.emit[1] == 1
    if not single or part.incoming[1:] != part.outgoing[1:]:
        return False
    alone = all(
        axis.input_step == axis.output_step == axis.divisor == 1
        and len(axis.phases) == 1
        and axis.phases[0].offsets == (0,)
        for axis in part.node.axes(part.incoming)
    )
    return alone and all(_is_never_subnormal(array) for array in (part.node.weight, part.node.bias))


def _is_never_subnormal(numbers: NDArray[np.float32]) -> bool:
    sizes = np.abs(numbers)
    return bool(((sizes == 0) | (sizes >= _SMALLEST_WEIGHT)).all()) and math.isfinite(float(sizes.max(initial=0)))
