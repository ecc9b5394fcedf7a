"""Weights on a regular pattern of taps: gathered from event to event, or multiplied with planes of levels."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.dot_few import few_outputs
from ..kernels.tables import Reach
from ..kernels.window_block import Token, accumulators
from ..layers.taps import WeightedTaps
from ..lazy import KnownOf, lazy_property
from ..neurons import is_event_driven, rests_exactly
from .integer_ladder import LadderInUnits, ladder_in_units
from .integer_plan import (
    FourLayer,
    IntegerLayer,
    IntegerTerms,
    QuadLayer,
    integer_terms,
    make_integer_plan,
    pack_fours,
    pack_integers,
    pack_quads,
)
from .kernel_choice import EVENT_INTEGERS, host_kernels
from .layer import Layer
from .plan import GatherPlan, make_plan, make_reach, pack_weights, padded_bias, quad_block_width

_packed: KnownOf[WeightedTaps, NDArray[Any]] = KnownOf()
"""Packed weights of nodes that are alive, so that only the first run of a network packs them; by the kernels that read
them, and all that says how they lie."""

_MOST_PLANE_BYTES = 1 << 26
"""Of a step, for one output row: the kernels in integers spread out the padding, too, and all rows under a kernel."""


@dataclass(frozen=True, eq=False)
class GatherLayer(Layer):
    """A layer whose current is gathered: each output pixel adds up the weights that the events under it meet."""

    node: WeightedTaps

    @property
    def dense_kernels(self) -> str | None:
        return self.integers.kind if self.spiking and self.integers is not None else None

    @property
    def own_kernels(self) -> str:
        return EVENT_INTEGERS if self.spiking and self.quads is not None else super().own_kernels

    @property
    def block_width(self) -> int:
        return self.plan.block_width

    def token(self, steps: int) -> Token:
        return accumulators(steps, self.plan.window, self.plan.block_width)

    @property
    def row_step(self) -> int:
        return self.plan.rows.output_step

    def prepare(self) -> None:
        super().prepare()
        _ = self.plan, self.weights, (self.event_driven or self.rest is not None) and self.reach

    @lazy_property
    def event_driven(self) -> bool:
        return self._is_silent_alone and (self.neurons is None or is_event_driven(self.neurons.model))

    @property
    def _is_silent_alone(self) -> bool:
        """Whether there is no current where no event arrives."""
        return bool(self.spiking) and not self.analog and not self.bias.any()

    @lazy_property
    def rest(self) -> tuple[NDArray[np.float32], ...] | None:
        if self.neurons is None or not self._is_silent_alone:
            return None
        # Adding a bias of -0 to nothing gives -0, and a step may ask for the sign of its current.
        if np.signbit(self.bias).any() or not rests_exactly(self.neurons.model):
            return None
        return (np.zeros((1, self.padded_channels), np.float32),) if self.stepper is None else self.initial

    @lazy_property
    def reach(self) -> Reach:
        """Which output pixels events reach."""
        return make_reach(self.plan.rows, self.node.axes(self.incoming)[1], self.incoming, self.outgoing)

    @lazy_property
    def plan(self) -> GatherPlan:
        """Tables for the gather kernels."""
        return self._plan()

    def _plan(self, block_width: int | None = None, fours: bool = False) -> GatherPlan:
        rows, columns = self.node.axes(self.incoming)
        if self.window is not None:
            # Vertical offsets that lead from the window's first output row to its first input row. It begins at a
            # multiple of the output step (see `TileSchedule`), so that phases stay as they are.
            rows = self.whole.plan.rows
            shift = self.window.rows[0] // rows.output_step * rows.input_step - self.window.inputs[0]
            shifted = [replace(each, offsets=tuple(offset + shift for offset in each.offsets)) for each in rows.phases]
            rows = replace(rows, phases=tuple(shifted))
        incoming = (-(-self.incoming[0] // 4), *self.incoming[1:]) if fours else self.incoming
        return make_plan(rows, columns, incoming, self.outgoing, block_width)

    @lazy_property
    def weights(self) -> NDArray[np.float32]:
        """Weights in the kernels' order."""
        node, incoming, key = self.node, self.whole.incoming, ("floats", self.block_width)
        return self._packed(key, lambda: pack_weights(node.dense_kernel(node.weight, incoming), self.plan))

    def _packed(self, key: tuple[Hashable, ...], pack: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Weights as some kernels read them, packed at the first run of the node with these kernels."""
        return _packed.get(self.node, (*key, *self.node.packing_key(self.whole.incoming)), pack)

    @lazy_property
    def bias(self) -> NDArray[np.float32]:
        return padded_bias(self.node.bias, self.padded_channels)

    @lazy_property
    def integers(self) -> IntegerLayer | None:
        """The layer in integers, where its currents are sums of integers and kernels that add them up are allowed."""
        kind = self.kernels.integers
        terms = None if kind is None else self.integer_terms
        if kind is None or terms is None:
            return None
        columns, few = self.node.axes(self.incoming)[1], few_outputs(kind, self.outgoing[0])
        plan = make_integer_plan(self.plan.rows, columns, self.incoming, self.outgoing, self.padded_channels, few)
        if plan.plane_bytes(plan.rows.reach, 1) > _MOST_PLANE_BYTES:
            return None
        key = ("planes", plan.vectors, plan.few, plan.padded)
        return IntegerLayer(terms, plan, self._packed(key, lambda: pack_integers(terms.kernel.kernel, plan)), kind)

    @lazy_property
    def quads(self) -> QuadLayer | None:
        """The layer from event to event in integers, where its currents are such sums and that is allowed."""
        terms = self.integer_terms if EVENT_INTEGERS in self.kernels else None
        if terms is None:
            return None
        plan = self._plan(quad_block_width(self.padded_channels))
        key = ("quads", plan.block_width)
        return QuadLayer(terms, plan, self._packed(key, lambda: pack_quads(terms.kernel.kernel, plan)))

    @lazy_property
    def fours(self) -> FourLayer | None:
        """The layer from four channels to four channels, in the place of products of all of them."""
        integers = self.integers
        if integers is None or integers.kind != "vnni" or integers.plan.few or EVENT_INTEGERS not in host_kernels():
            return None
        plan = self._plan(quad_block_width(self.padded_channels), fours=True)
        key = ("fours", plan.block_width)
        weights = self._packed(key, lambda: pack_fours(integers.terms.kernel.kernel, plan, self.padded_channels))
        return FourLayer(integers.terms, plan, weights)

    @lazy_property
    def ladder_in_units(self) -> LadderInUnits | None:
        """Neurons of which nothing is kept, in integers like the sums of their currents, where that is exact."""
        terms = self.integer_terms if self.neurons is not None and self.stepper is None else None
        return None if terms is None else ladder_in_units(self, terms)

    @lazy_property
    def integer_terms(self) -> IntegerTerms | None:
        """The integers whose sums the layer's currents are, if they are."""
        if self.window is not None:
            return self.whole.integer_terms
        return integer_terms(self.node, self.incoming, self.sources, self.padded_channels)
