"""How many rows of a picture to work on at a time, so that its events fit into a given memory."""

from __future__ import annotations

import math
from collections import defaultdict

from ...binding import Layer, Program, allowed_kernels, build_program
from ...binding.layer import RowRange
from ...events import entry_bytes, mask_bytes, step_groups
from ...graph import Network
from .tile_schedule import TileSchedule, TileStep

MEMORY = 1 << 30
"""Bytes that events may take if every neuron fires; a real picture's take a third to a half of it."""

_START_BYTES = 8

_WORTH_IT = 15 / 16
"""Share of the memory that half the rows may need at most, for them to be worth it."""


def choose_tile(program: Program, height: int, steps: int, memory: int = MEMORY) -> int:
    """Rows of a tile: all where they fit into `memory` bytes, else the largest of half, a quarter, ... that do.

    Never fewer than the network's `size_multiple`: beyond a certain width of the picture, `memory` is exceeded. So
    it is where half the rows save nothing, as of a network that needs a mean over the whole picture before it goes on.
    """
    # Untiled, all layers run a group of steps before the next one: events of one, potentials of all layers.
    groups = list(step_groups(steps))
    layers = [layer for layer in program.layers if layer.neurons is not None] if len(groups) > 1 else []
    carried = sum(4 * layer.variables * layer.padded_channels * math.prod(layer.outgoing[1:]) for layer in layers)
    whole = peak_bytes(program, height, groups[0], height) + carried
    if whole <= memory:
        return height
    least = min(height, program.size_multiple)
    tile = max(-(-height // 2), least)
    needed = peak_bytes(program, height, steps, tile)
    while tile > least and needed > memory:
        half = max(-(-tile // 2), least)
        fewer = peak_bytes(program, height, steps, half)
        if fewer > _WORTH_IT * needed:
            break
        tile, needed = half, fewer
    return tile if needed < whole else height


def needed_bytes(network: Network, height: int, width: int, steps: int) -> int:
    """About how many bytes the events and potentials of a run on a picture take, in tiles as they are chosen.

    Of a network that is mostly silent a third; what is kept of currents, and the picture itself, come on top.
    """
    rows, columns = (-(-side // network.size_multiple) * network.size_multiple for side in (height, width))
    program = build_program(network, (network.input.channels, rows, columns), allowed_kernels("auto"))
    tile = choose_tile(program, rows, steps)
    return peak_bytes(program, rows, next(step_groups(steps)) if tile == rows else steps, tile)


def peak_bytes(program: Program, height: int, steps: int, tile: int) -> int:
    """Bytes at the most that the events and potentials of a run in tiles take, if every neuron fires."""
    groups = list(step_groups(steps))
    pieces: dict[str, list[RowRange]] = defaultdict(list)
    rows_of = {layer.name: _row_bytes(layer, groups) for layer in program.layers}
    peak = 0
    for step in TileSchedule(program, height, tile):
        live = sum(_rows(piece) * rows_of[name] for name, kept in pieces.items() for piece in kept)
        live += _joined_bytes(step, pieces, rows_of)
        peak = max(peak, live + _rows(step.rows) * _work_bytes(step.layer, groups))
        for name, end in step.drops.items():
            pieces[name] = [piece for piece in pieces[name] if piece[1] > end]
        if step.layer.name in program.last_use:
            pieces[step.layer.name].append(step.rows)
    return peak


def _rows(rows: RowRange) -> int:
    return rows[1] - rows[0]


def _row_bytes(layer: Layer, groups: list[int]) -> int:
    channels, _, width = layer.outgoing
    entry = sum(entry_bytes(channels, size) for size in groups)
    return entry * channels * width + len(groups) * (mask_bytes(channels) * width + _START_BYTES * (width + 1))


def _joined_bytes(step: TileStep, pieces: dict[str, list[RowRange]], rows_of: dict[str, int]) -> int:
    """Bytes of the windows that have to be put together."""
    total = 0
    for layer, window in zip(step.layer.parts, step.windows, strict=True):
        for name in {source.name for source in layer.sources}:
            parts = [each for each in pieces[name] if each[0] < window[1] and each[1] > window[0]]
            if len(parts) > 1:
                total += _rows(window) * rows_of[name]
    return total


def _work_bytes(layer: Layer, groups: list[int]) -> int:
    """Bytes of an output row: events twice while bands are joined, potentials, current of the analog input."""
    width = layer.outgoing[2]
    numbers = sum(map(bool, (part.analog for part in layer.parts))) + (layer.variables if len(groups) > 1 else 0)
    numbers += sum(part.node.state_values for part in layer.parts)
    return 2 * _row_bytes(layer, groups) + 4 * numbers * width * layer.padded_channels
