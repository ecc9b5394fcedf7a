"""Small networks of dyadic numbers, one for each thing that counters of operations treat differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from spikeunet.engine import (
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    IntegrateAndFire,
    Linear,
    Network,
    Neurons,
    Output,
)

SHAPE = (2, 9, 11)
"""Of the pictures that the networks take."""


class Dyadic:
    """Random multiples of 1/16, a fifth of them zero."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: int = 1) -> np.ndarray:
        values = self.random.integers(-8, 10, shape) * scale
        return np.where(self.random.random(shape) < 0.2, 0, values).astype(np.float32) / 16

    def picture(self, *shape: int) -> np.ndarray:
        return self.random.integers(0, 17, shape).astype(np.float32) / 16


def binary(strict: bool) -> Callable[[], IntegrateAndFire]:
    """Neurons that emit spikes of 1; snnTorch fires at v > 1 (strict), sinabs and SpikingJelly at v >= 1."""
    return lambda: IntegrateAndFire(1.0, strict=strict)


def networks(model: Callable[[], object]) -> dict[str, Network]:
    """One network for each thing that counters treat differently, all with the same kind of neuron."""
    return {name: Network(list(make(Dyadic(0), model))) for name, make in _MAKERS.items()}


def _first(draw: Dyadic, model) -> Iterator[object]:
    yield Input("input", SHAPE[0])
    yield Conv2d("conv1", "input", draw(6, 2, 3, 3, scale=2), draw(6))
    yield Neurons("relu1", "conv1", model())


def _last(draw: Dyadic, source: str, features: int) -> Iterator[object]:
    yield Linear("classes", source, draw(3, features), draw(3))
    yield Output("output", "classes")


def _plain(draw, model):
    yield from _first(draw, model)
    yield Conv2d("conv2", "relu1", draw(8, 6, 3, 3), draw(8))
    yield Neurons("relu2", "conv2", model())
    yield from _last(draw, "relu2", 8 * 5 * 7)


def _borders(draw, model):
    yield from _first(draw, model)
    yield Conv2d("conv2", "relu1", draw(8, 6, 3, 3), draw(8), padding=1)
    yield Neurons("relu2", "conv2", model())
    yield from _last(draw, "relu2", 8 * 7 * 9)


def _strides(draw, model):
    yield from _first(draw, model)
    yield Conv2d("conv2", "relu1", draw(8, 6, 3, 3), draw(8), stride=(3, 2))
    yield Neurons("relu2", "conv2", model())
    yield from _last(draw, "relu2", 8 * 2 * 4)


def _groups(draw, model):
    yield from _first(draw, model)
    yield Conv2d("conv2", "relu1", draw(8, 3, 3, 3), draw(8), groups=2, dilation=2, padding=1)
    yield Neurons("relu2", "conv2", model())
    yield from _last(draw, "relu2", 8 * 5 * 7)


def _pool(draw, model):
    yield from _first(draw, model)
    yield AvgPool2d("pool", "relu1", 2)
    yield Neurons("pooling", "pool", model())
    yield Conv2d("conv2", "pooling", draw(8, 6, 3, 3), draw(8), padding=1)
    yield Neurons("relu2", "conv2", model())
    yield from _last(draw, "relu2", 8 * 3 * 4)


def _transposed(draw, model):
    yield from _first(draw, model)
    yield ConvTranspose2d("up", "relu1", draw(6, 4, 3, 3), draw(4), stride=2, padding=1, output_padding=1)
    yield Neurons("relu2", "up", model())
    yield from _last(draw, "relu2", 4 * 14 * 18)


def _skip(draw, model):
    yield from _first(draw, model)
    yield Conv2d("down", "relu1", draw(8, 6, 3, 3), draw(8), padding=1, stride=2)
    yield Neurons("relu2", "down", model())
    yield ConvTranspose2d("up", "relu2", draw(8, 4, 3, 3), draw(4), padding=1, stride=2)
    yield Neurons("relu3", "up", model())
    yield Concat("joined", ("relu1", "relu3"))
    yield Conv2d("conv2", "joined", draw(5, 10, 3, 3), draw(5), padding=1)
    yield Neurons("relu4", "conv2", model())
    yield from _last(draw, "relu4", 5 * 7 * 9)


_MAKERS = {
    "plain": _plain,
    "borders": _borders,
    "strides": _strides,
    "groups and dilation": _groups,
    "pooling": _pool,
    "transposed": _transposed,
    "U-shaped": _skip,
}
