"""Layers whose currents are sums of integers: which ones they are, and how their weights lie for the dot kernels.

What a source emits is a number of quanta, 0 to 255. Where every weight of an output channel is an integer from -127 to
127 times a power of two of that channel, 2**k, each product is an integer times the quantum times 2**k. As long as the
sums of the positive and of the negative products, whatever fires, stay within 2**24 of such units, and the bias is a
number of them too, float32 arithmetic rounds nothing in whatever order the products are added. So the event-driven
kernels and those that multiply whole planes of levels give the same currents, bit for bit, and a run may choose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..fixed_point import codes_and_exponents, quantum_of
from ..graph import Shape, Synapses
from ..kernels.arguments import DotTokens
from ..kernels.dot import CHUNK_LEVELS, GROUP, LANES, dot_token
from ..kernels.pairs import for_pairs, host_pairs
from ..kernels.planes import PLANE_GAP
from ..kernels.quads import FourToken, PairToken, QuadToken, sums_token
from ..kernels.tables import DOT_PHASE, SEGMENT, DotGeometry, DotTables, PlaneLayout
from ..kernels.window_block import window_token
from ..layers.taps import Axis, WeightedTaps
from ..lazy import KnownOf
from ..memory import aligned_bytes
from ..neurons import LevelTable
from .layer import Source
from .plan import GatherPlan, contiguous_runs, inside, pack_weights, padded_bias, phase_places

_HIGHEST_EXPONENT = 50
"""Of powers of two and their inverses: products of two of them, and 2**24 times that, are where float32 is exact."""

EXACT = 2.0**24
"""Units up to which float32 arithmetic rounds no integer."""


@dataclass(frozen=True, eq=False)
class IntegerWeights:
    """Weights of a node as integers, (kernel height, kernel width, in_channels, out_channels).

    `unit`, (out_channels,), are the powers of two that each channel's integers are multiplied with.
    """

    kernel: NDArray[np.int8]
    unit: NDArray[np.float32]

    def largest_sums(self, highest: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(out_channels,), the largest size of a sum of products; `highest`, (in_channels,), most quanta of each."""

        def work_out() -> NDArray[np.int64]:
            signs = (np.maximum(self.kernel, 0), np.minimum(self.kernel, 0))
            positive, negative = (np.einsum("yxio,i->o", of_sign, highest, dtype=np.int64) for of_sign in signs)
            return np.asarray(np.maximum(positive, -negative))

        return _sums.get(self, highest.tobytes(), work_out)


_sums: KnownOf[IntegerWeights, NDArray[np.int64]] = KnownOf(4)


@dataclass(frozen=True, eq=False)
class IntegerPlan:
    """Tables for the dot kernels, of synapses with the vertical taps `rows`; `few` see `few_outputs`.

    Output channels are filled up to `padded`, a whole number of blocks of so many vectors. `taps` are the kernel's row,
    and its columns, of each segment, in their order.
    """

    tables: DotTables
    vectors: int
    few: int
    taps: tuple[tuple[int, tuple[int, ...]], ...]
    padded: int
    rows: Axis

    def plane_bytes(self, rows: int, steps: int) -> int:
        """Bytes that planes take."""
        return steps * (rows * self.tables.layout.row_bytes + PLANE_GAP)


def make_integer_plan(
    rows: Axis, columns: Axis, incoming: Shape, outgoing: Shape, padded: int, few: int = 0
) -> IntegerPlan:
    """Tables for a node with these taps that reads `incoming` and puts out `outgoing`, of `padded` channels then.

    `few` says that vectors hold levels, see `few_outputs`.
    """
    channels = -(-incoming[0] // 4) * 4
    vectors = next(count for count in (2, 3, 1) if padded % (count * LANES) == 0)
    lowest = min((phase.offsets[0] for phase in columns.reading), default=0)
    highest = max((phase.offsets[-1] for phase in columns.reading), default=0)
    groups = math.ceil(math.ceil(outgoing[2] / columns.output_step) / GROUP)
    left = max(-lowest, 0)
    row_bytes = (left + max(incoming[2], (groups * GROUP - 1) * columns.input_step + highest + 1)) * channels
    places = phase_places(rows, columns)
    phases: NDArray[np.void] = np.zeros(places.shape[:2], DOT_PHASE)
    phases["first_y"], phases["first_x"] = places[..., 0], places[..., 1]
    segments: list[tuple[int, int, int]] = []
    taps: list[tuple[int, tuple[int, ...]]] = []
    weights = 0
    # Phases without taps have no weights: there are as many as pixels between those of the input.
    reading = [[number for number, phase in enumerate(axis.phases) if phase.offsets] for axis in (rows, columns)]
    for y, x in itertools.product(*reading):
        vertical, horizontal = rows.phases[y], columns.phases[x]
        first, block_bytes = len(segments), 0
        for row_offset, row in zip(vertical.offsets, vertical.indices, strict=True):
            for offset, number, position in contiguous_runs(horizontal):
                quads = number * channels // 4
                segments.append((row_offset * row_bytes + offset * channels, quads, block_bytes))
                taps.append((row, horizontal.indices[position : position + number]))
                block_bytes += -(-quads * 4 // CHUNK_LEVELS) * CHUNK_LEVELS * (few or LANES * vectors)
        phases[y, x] = *places[y, x], first, len(segments), weights, block_bytes
        weights += block_bytes * (padded // (LANES * vectors))
    steps = (rows.output_step, columns.output_step, rows.input_step, columns.input_step)
    phases = phases.reshape(-1)
    tables = DotTables(
        geometry=DotGeometry(*steps, outgoing[2]),
        layout=PlaneLayout(left * channels, row_bytes, channels),
        phases=phases[(phases["block_bytes"] > 0) | inside(places, outgoing)],
        segments=np.array(segments, SEGMENT),
    )
    return IntegerPlan(tables, vectors, few, tuple(taps), padded, rows)


def pack_integers(kernel: NDArray[np.int8], plan: IntegerPlan) -> NDArray[np.int8]:
    """Flat int8, as `dot_band` reads it.

    Phase, block of output channels, segment, chunk, vector, quad of levels, channel in vector, level in quad; of few
    output channels phase, segment, chunk, channel, level. A segment's levels are those of its kernel columns, one after
    the other, each with all input channels filled up to whole quads; zeros fill up its last chunk.
    """
    inputs, outputs = kernel.shape[2:]
    padded = plan.padded
    channels, width = plan.tables.layout.pixel_bytes, LANES * plan.vectors
    filled = np.zeros((*kernel.shape[:2], channels, padded), np.int8)
    filled[:, :, :inputs, :outputs] = kernel
    blocks = padded // width
    phases = plan.tables.phases
    packed = aligned_bytes(int(phases["block_bytes"].sum()) * blocks).view(np.int8)
    for _, _, first, last, begin, block_bytes in phases[phases["block_bytes"] > 0].tolist():
        of_phase = packed[begin : begin + block_bytes * blocks].reshape(blocks, block_bytes)
        place = 0
        for row, columns in plan.taps[first:last]:
            levels = len(columns) * channels
            chunks = -(-levels // CHUNK_LEVELS)
            segment = np.zeros((chunks * CHUNK_LEVELS, padded), np.int8)
            segment[:levels] = filled[row, list(columns)].reshape(levels, padded)
            size = chunks * CHUNK_LEVELS * (plan.few or width)
            if plan.few:
                few = segment[:, : plan.few].reshape(chunks, CHUNK_LEVELS, plan.few)
                of_phase[0, place : place + size] = few.transpose(0, 2, 1).reshape(size)
            else:
                parts = segment.reshape(chunks, CHUNK_LEVELS // 4, 4, blocks, plan.vectors, LANES)
                of_phase[:, place : place + size] = parts.transpose(3, 0, 4, 1, 5, 2).reshape(blocks, size)
            place += size
    return packed


# --- Which layers ----------------------------------------------------------------------------------------------------

_integers: KnownOf[Synapses, IntegerWeights | None] = KnownOf()
"""Of nodes that are alive: looked for once, because there are millions of weights."""


def integer_weights(node: WeightedTaps, incoming: Shape) -> IntegerWeights | None:
    """A node's weights as integers times a power of two of each output channel; None where they are not."""
    return _integers.get(node, node.packing_key(incoming), lambda: _integer_weights(node, incoming))


def _integer_weights(node: WeightedTaps, incoming: Shape) -> IntegerWeights | None:
    # A sum that begins with a zero that has no sign, or with anything else, does not notice the sign of others.
    bias: NDArray[np.float32] = getattr(node, "bias", np.zeros(1, np.float32))
    found = codes_and_exponents(node, signed_zeros=bool(np.signbit(bias[bias == 0]).any()))
    if found is None or not (np.abs(found[1]) <= _HIGHEST_EXPONENT).all():
        return None
    return IntegerWeights(node.dense_kernel(found[0], incoming), np.ldexp(np.float32(1), found[1]))


def integer_quanta(tables: list[LevelTable]) -> np.float32 | None:
    """The power of two of which all that is emitted are multiples, 0 to 255; None without one."""
    emitted = np.concatenate([table.emit[: table.highest + 1] for table in tables])
    quantum = quantum_of(emitted)
    fits = quantum is not None and emitted.min() >= 0 and 2.0**-_HIGHEST_EXPONENT <= quantum <= 2.0**_HIGHEST_EXPONENT
    return np.float32(quantum) if fits else None


def is_exact(
    weights: IntegerWeights, bias: NDArray[np.float32], quantum: np.float32, highest: NDArray[np.uint8]
) -> bool:
    """Whether no sum of the products and the bias is ever rounded; `highest`, (in_channels,), most quanta of each."""
    worst = weights.largest_sums(highest)
    # In float64 nothing underflows: a bias that is tiny beside its unit must not be taken for a zero.
    units = bias.astype(np.float64) / (weights.unit * quantum)
    whole = np.isfinite(units) & (units == np.rint(units)) & (worst + np.abs(units) <= EXACT)
    return bool((whole | (worst == 0)).all())


# --- Layers in integers ---------------------------------------------------------------------------------------------

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


def most_quanta(sources: Sequence[Source], quanta: dict[str, Quanta]) -> NDArray[np.uint8]:
    """(channels,): what each channel of the sources, one after the other, emits at the most."""
    return np.concatenate([np.full(source.channels, quanta[source.name][0].max()) for source in sources])


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
    """What the integers of a layer are: its weights, and each source's levels in quanta, by name.

    Sums of products are multiplied with `scale`, (padded channels,). Every level counts where all but 0 have a value.
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
    if not is_exact(weights, node.bias, quantum, most_quanta(sources, quanta)):
        return None
    values = [quanta[source.name][0][1 : source.levels.highest + 1] for source in sources if source.levels]
    return IntegerTerms(
        weights, padded_bias(weights.unit * quantum, padded), quanta, bool(np.concatenate(values).all())
    )


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """What the dot kernels, of a kind that `dot_token` knows, take of a layer; `pack_integers` leaves the weights."""

    terms: IntegerTerms
    plan: IntegerPlan
    weights: NDArray[np.int8]
    kind: str

    def tokens(self, steps: int) -> DotTokens:
        """Shapes of what is kept in registers, for this many steps at once."""
        vectors = self.plan.vectors
        block = window_token(steps, 1, vectors, LANES, vectors)
        return DotTokens(dot_token(self.kind, vectors, self.plan.few), block)


@dataclass(frozen=True, eq=False)
class QuadLayer:
    """What the kernels take of a layer that go from event to event in integers, four at a time, weights packed.

    These are as `pack_weights` leaves them, of 16 bits where `host_pairs` says so (see `for_pairs`).
    """

    terms: IntegerTerms
    plan: GatherPlan
    weights: NDArray[np.int8] | NDArray[np.int16]

    def token(self, steps: int) -> QuadToken | PairToken:
        """Shape of what is kept in registers, for this many steps at once."""
        kind: type[QuadToken | PairToken] = QuadToken if self.weights.dtype == np.int8 else PairToken
        return sums_token(kind, steps, self.plan.window, self.plan.block_width)


@dataclass(frozen=True, eq=False)
class FourLayer:
    """What the kernels take of a layer that go from four channels to four channels in integers; see `pack_fours`."""

    terms: IntegerTerms
    plan: GatherPlan
    weights: NDArray[np.int32]

    def token(self, steps: int) -> FourToken:
        """Shape of what is kept in registers, for this many steps at once."""
        return sums_token(FourToken, steps, self.plan.window, self.plan.block_width)


def pack_quads(kernel: NDArray[np.int8], plan: GatherPlan) -> NDArray[np.int8] | NDArray[np.int16]:
    """What `QuadLayer` has as weights."""
    return pack_weights(for_pairs(kernel), plan) if host_pairs() else pack_weights(kernel, plan)


def pack_fours(kernel: NDArray[np.int8], plan: GatherPlan, padded: int) -> NDArray[np.int32]:
    """As `pack_weights`, with four input channels, a byte each, in the place of one."""
    inputs, outputs = kernel.shape[2:]
    fours = -(-inputs // 4)
    filled = np.zeros((*kernel.shape[:2], 4 * fours, padded), np.int8)
    filled[:, :, :inputs, :outputs] = kernel
    together = filled.reshape(*kernel.shape[:2], fours, 4, padded).transpose(0, 1, 2, 4, 3)
    return pack_weights(np.ascontiguousarray(together).view(np.int32)[..., 0], plan)
