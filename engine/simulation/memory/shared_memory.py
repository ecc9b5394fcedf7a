"""Where the events of a program's layers go: one block of memory, whose parts are used again."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Mapping, Sequence

from ...binding import Layer
from .queue_memory import block_bytes, has_memory

MOST_BYTES = 1 << 29
"""A program whose events may need more than this shares no block: room for them is then taken as it is needed."""


def memory_places(
    layers: Sequence[Layer], last_use: Mapping[str, int], steps: int, without: Collection[str]
) -> tuple[list[int], list[int], int]:
    """Where the events of each layer go in a block of memory, how many bytes they take, and those of the block.

    Layers that get no room take 0 bytes: readouts, those named in `without`, those that are too large, and all of them
    where the block would be.
    """
    given = [has_memory(layer, steps) and layer.name not in without for layer in layers]
    sizes = [
        block_bytes(layer, steps, layer.outgoing[1]) if has else 0 for layer, has in zip(layers, given, strict=True)
    ]
    lasts = [last_use.get(layer.name, index) for index, layer in enumerate(layers)]
    places, total = places_in_block(sizes, lasts)
    return (places, sizes, total) if total <= MOST_BYTES else ([0] * len(layers), [0] * len(layers), 0)


def places_in_block(sizes: list[int], lasts: list[int]) -> tuple[list[int], int]:
    """Where parts of a block of memory begin, and the size of the block.

    The i-th part is written at time i and read until the time lasts[i]; its place may then be taken by another.
    """
    places: list[int] = []
    living: list[tuple[int, int, int]] = []  # begin, end and last reader of each part, in the order of their places
    for index, size in enumerate(sizes):
        living = [part for part in living if part[2] >= index]
        place = 0
        for begin, end, _ in living:
            if place + size <= begin:
                break
            place = max(place, end)
        insort(living, (place, place + size, lasts[index]))
        places.append(place)
    return places, max((place + size for place, size in zip(places, sizes, strict=True)), default=0)
