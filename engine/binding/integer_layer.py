"""A layer whose currents are sums of integers, bound to what the dot kernels take."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import Shape
from ..kernels.arguments import DotTokens
from ..kernels.dot import LANES, dot_token
from ..kernels.quads import QuadToken, quad_token
from ..kernels.window_block import window_token
from ..layers.taps import WeightedTaps
from ..neurons import LevelTable
from .integer_plan import IntegerPlan, IntegerWeights, integer_quanta, integer_weights, is_exact
from .plan import GatherPlan, padded_bias

Quanta = tuple[NDArray[np.uint8], int]
"""(256,) value of each level in quanta; by how many bits a level that is read backwards has to be shifted to the right
to be that, or -1 where it is something else."""


@dataclass(frozen=True, eq=False)
class PooledLevels:
    """Levels that are averaged.

    Parameters
    ----------
    quanta : of each source, by name
    scale : what sums of quanta are multiplied with to give means
    """

    quanta: dict[str, Quanta]
    scale: np.float32


def pooled_levels(area: int, tables: Mapping[str, LevelTable | None]) -> PooledLevels | None:
    """What means over so many pixels are made of; None where they are no sums of integers, or would be rounded.

    `tables` says for each source what its levels mean, None for the analog input.
    """
    levels = {name: table for name, table in tables.items() if table is not None}
    quantum = integer_quanta(list(levels.values())) if levels and len(levels) == len(tables) else None
    if quantum is None or area.bit_count() != 1 or area > 1 << 15:
        return None
    return PooledLevels({name: quanta_of(table, quantum) for name, table in levels.items()}, np.float32(quantum / area))


@dataclass(frozen=True, eq=False)
class IntegerTerms:
    """What the integers of a layer are.

    Parameters
    ----------
    kernel : IntegerWeights
    scale : (padded channels,) float32, what sums of products are multiplied with
    quanta : of each source, by name
    highest : for each source, its highest level
    """

    kernel: IntegerWeights
    scale: NDArray[np.float32]
    quanta: dict[str, Quanta]
    highest: dict[str, int]

    def every_level_counts(self, source: str) -> bool:
        """Whether all levels of a source but 0 have a value."""
        numbers, _ = self.quanta[source]
        return bool(numbers[1 : self.highest[source] + 1].all())


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """What the dot kernels take of a layer.

    Parameters
    ----------
    terms : IntegerTerms
    plan : IntegerPlan
    weights : int8, flat, as `pack_integers` leaves them
    kind : kind of kernel, see `dot_token`
    """

    terms: IntegerTerms
    plan: IntegerPlan
    weights: NDArray[np.int8]
    kind: str

    def tokens(self, steps: int) -> DotTokens:
        """Shapes of what is kept in registers, for this many steps at once."""
        return _tokens(self.kind, self.plan.vectors, self.plan.few, steps)


@functools.cache
def _tokens(kind: str, vectors: int, few: int, steps: int) -> DotTokens:
    return DotTokens(dot_token(kind, vectors, few), window_token(steps, 1, vectors, LANES, vectors))


@dataclass(frozen=True, eq=False)
class QuadLayer:
    """What the kernels take of a layer that go from event to event in integers, four at a time.

    Parameters
    ----------
    terms : IntegerTerms
    plan : GatherPlan
    weights : int8, flat, as `pack_weights` leaves them
    """

    terms: IntegerTerms
    plan: GatherPlan
    weights: NDArray[np.int8]

    def token(self, steps: int) -> QuadToken:
        """Shape of what is kept in registers, for this many steps at once."""
        return quad_token(steps, self.plan.window, self.plan.block_width)


FULL_RATE_WIDTH = 4 * LANES
"""Output channels from which on the kernels that walk in integers interleave whole vectors of bytes."""


def quad_block_width(padded: int) -> int:
    """Output channels in a block: as many as registers can hold for a step, of so many filled up."""
    return next(width for width in (8 * LANES, 4 * LANES, 2 * LANES, LANES) if padded % width == 0)


def integer_terms(
    node: WeightedTaps,
    incoming: Shape,
    tables: Mapping[str, LevelTable | None],
    channels: list[tuple[str, int]],
    padded: int,
) -> IntegerTerms | None:
    """The integers of a node; None where its currents are no sums of integers.

    Parameters
    ----------
    node : WeightedTaps
    incoming : (C, H, W)
    tables : for each source what its levels mean, None for the analog input
    channels : sources and their channels, in the order in which they are joined; a source may come twice
    padded : int
        Output channels, filled up to a whole number of blocks.
    """
    levels = [table for table in tables.values() if table is not None]
    if padded % LANES or not levels or len(levels) < len(tables):
        return None
    quantum, weights = integer_quanta(levels), integer_weights(node, incoming)
    if quantum is None or weights is None:
        return None
    quanta = {name: quanta_of(table, quantum) for name, table in tables.items() if table is not None}
    most = np.concatenate([np.full(count, quanta[name][0].max()) for name, count in channels])
    if not is_exact(weights, node.bias, quantum, most):
        return None
    highest = {name: table.highest for name, table in tables.items() if table is not None}
    return IntegerTerms(weights, padded_bias(weights.unit * quantum, padded), quanta, highest)


def quanta_of(table: LevelTable, quantum: np.float32) -> Quanta:
    """See `IntegerLayer.quanta`."""
    numbers = np.zeros(256, np.uint8)
    values = numbers[: table.highest + 1]
    values[:] = table.emit[: table.highest + 1] / quantum
    for shift in range(8):
        if (table.backwards >> shift == values).all():
            return numbers, shift
    return numbers, -1
