"""Where the events of all layers of a chain go: one block of memory, whose parts are used again."""

from __future__ import annotations

from bisect import insort

import numpy as np
from numpy.typing import NDArray

from ..binding import Program
from ..memory import aligned_bytes
from .queue_room import QueueRoom, block_bytes


def room_places(program: Program, steps: int) -> tuple[list[int], list[int], int]:
    """Where the events of each layer go in a block of memory, how many bytes they take, and those of the block."""
    layers = program.layers
    sizes = [block_bytes(layer, steps, layer.outgoing[1]) if layer.neurons else 0 for layer in layers]
    lasts = [program.last_use.get(layer.name, index) for index, layer in enumerate(layers)]
    places, total = places_in_block(sizes, lasts)
    return places, sizes, total


def chain_rooms(program: Program, steps: int) -> tuple[list[QueueRoom | None], NDArray[np.uint8]]:
    """Where the events of each layer go, None for the readout; and the memory that they share."""
    places, sizes, total = room_places(program, steps)
    block = aligned_bytes(total)
    rooms = [
        QueueRoom(layer, steps, layer.outgoing[1], block[place : place + size]) if layer.neurons else None
        for layer, place, size in zip(program.layers, places, sizes, strict=True)
    ]
    return rooms, block


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
