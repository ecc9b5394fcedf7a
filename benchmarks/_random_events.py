"""Random events for a layer, and clocks in its kernels."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

import numpy as np

from spikeunet.engine import EventQueue
from spikeunet.engine.binding import Layer
from spikeunet.engine.events import channel_type, level_type, mask_bytes
from spikeunet.engine.simulation.currents import Inputs


def random_queue(channels: int, height: int, width: int, steps: int, activity: float) -> tuple[EventQueue, int]:
    """Events of neurons that fire at random, at a single threshold; and their number."""
    generator = np.random.default_rng(0)
    fires = generator.random((height, width, channels, steps)) < activity
    kind = level_type(steps)
    words = sum(fires[..., step].astype(kind) << kind(8 * step) for step in range(steps))
    flat = np.concatenate([[0], np.count_nonzero(words, axis=2).ravel().cumsum()])
    start = np.stack([flat[y * width : (y + 1) * width + 1] for y in range(height)])
    rows, columns, found = np.nonzero(words)
    masks = np.zeros((height, width, mask_bytes(channels)), np.uint8)
    packed = np.packbits(words != 0, axis=2, bitorder="little")
    masks[..., : packed.shape[2]] = packed
    numbers = found.astype(channel_type(channels))
    queue = EventQueue((channels, height, width), steps, start, numbers, words[rows, columns, found], masks)
    return queue, int(fires.sum())


def inputs_of(layer: Layer, steps: int, activity: float) -> tuple[Inputs, int, int]:
    """Random events for a layer, the number of them, and of neurons that fire at all."""
    queues, events, active = [], 0, 0
    for source in layer.sources:
        queue, number = random_queue(source.channels, *layer.incoming[1:], steps, activity)
        queues.append((source, queue))
        events, active = events + number, active + queue.active
    return Inputs(layer, queues, np.zeros((*layer.incoming[1:], 1), np.float32)), events, active


class Clock:
    """Thread time spent in kernels, by name; each is given with the module in which the simulation looks it up."""

    def __init__(self, *kernels: tuple[ModuleType, str]) -> None:
        self.seconds = dict.fromkeys((name for _, name in kernels), 0.0)
        self._kernels = [(module, name, getattr(module, name)) for module, name in kernels]

    def __enter__(self) -> Self:
        for module, name, kernel in self._kernels:
            setattr(module, name, functools.partial(self._run, name, kernel))
        return self

    def __exit__(self, *_: object) -> None:
        for module, name, kernel in self._kernels:
            setattr(module, name, kernel)

    def _run(self, name: str, kernel: Callable[..., Any], *arguments: Any) -> None:
        begin = time.thread_time()
        kernel(*arguments)
        self.seconds[name] += time.thread_time() - begin
