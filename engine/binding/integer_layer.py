"""A layer whose currents are sums of integers, bound to what the dot kernels take."""

from __future__ import annotations

import functools
from collections.abc import Sequence
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
from .layer import Source
from .plan import GatherPlan, padded_bias

Quanta = tuple[NDArray[np.uint8], int]
"""(256,) value of each level in quanta; by how many bits a level that is read backwards has to be shifted to the right
to be that, or -1 where it is something else."""


def quanta_of(table: LevelTable, quantum: np.float32) -> Quanta:
    """A table's levels in quanta."""
    numbers = np.zeros(256, np.uint8)
    values = numbers[: table.highest + 1]
    values[:] = table.emit[: table.highest + 1] / quantum
    for shift in range(8):
        if (table.backwards >> shift == values).all():
            return numbers, shift
    return numbers, -1


def _quanta_of_sources(sources: Sequence[Source]) -> tuple[np.float32 | None, dict[str, Quanta]]:
    """The power of two of which all that is read are multiples, and each source's levels so; None without one."""
    levels = [source.levels for source in sources if source.levels is not None]
    quantum = integer_quanta(levels) if levels and len(levels) == len(sources) else None
    if quantum is None:
        return None, {}
    return quantum, {source.name: quanta_of(table, quantum) for source, table in zip(sources, levels, strict=True)}


@dataclass(frozen=True, eq=False)
class PooledLevels:
    """Levels that are averaged: quanta of each source, by name; what sums of them are multiplied with to give means."""

    quanta: dict[str, Quanta]
    scale: np.float32


def pooled_levels(area: int, sources: Sequence[Source]) -> PooledLevels | None:
    """What means over so many pixels are made of; None where they are no sums of integers, or would be rounded."""
    quantum, quanta = _quanta_of_sources(sources)
    if quantum is None or area.bit_count() != 1 or area > 1 << 15:
        return None
    return PooledLevels(quanta, np.float32(quantum / area))


@dataclass(frozen=True, eq=False)
class IntegerTerms:
    """What the integers of a layer are.

    Parameters
    ----------
    kernel : IntegerWeights
    scale : (padded channels,) float32, what sums of products are multiplied with
    quanta : of each source, by name
    every_level_counts : whether all levels but 0 have a value
    """

    kernel: IntegerWeights
    scale: NDArray[np.float32]
    quanta: dict[str, Quanta]
    every_level_counts: bool


def integer_terms(node: WeightedTaps, incoming: Shape, sources: Sequence[Source], padded: int) -> IntegerTerms | None:
    """The integers of a node that reads (C, H, W) `incoming`; None where its currents are no sums of integers.

    `padded` are its output channels, filled up to a whole number of blocks.
    """
    quantum, quanta = (None, {}) if padded % LANES else _quanta_of_sources(sources)
    weights = None if quantum is None else integer_weights(node, incoming)
    if quantum is None or weights is None:
        return None
    most = np.concatenate([np.full(source.channels, quanta[source.name][0].max()) for source in sources])
    if not is_exact(weights, node.bias, quantum, most):
        return None
    values = [quanta[source.name][0][1 : source.levels.highest + 1] for source in sources if source.levels]
    return IntegerTerms(
        weights, padded_bias(weights.unit * quantum, padded), quanta, bool(np.concatenate(values).all())
    )


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
