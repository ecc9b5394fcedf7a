"""What an architecture is written with: layers by the keys of their arrays, which are walked through twice.

First by a `Survey`, which sees which keys an architecture takes and what is wrong with their shapes, then by an
`Assembly`, which puts the network together. So each architecture is one function that reads like its forward pass.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.graph import Projection
from spikeunet.engine.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    Upsample,
)

from ..batch_norm import STATISTICS
from ..state_dict import StateDict
from .pixels import of_pixels, to_pixels

Value = Any
"""What a layer puts out, as the next one takes it: its channels in a survey, a part of the network in an assembly."""

MOST_PARTS = 16
"""Points of a key that are looked at: no architecture has more, and a key may have thousands."""

Array = NDArray[Any]
Size = int | str | None
"""Of an axis that a weight should have: a number, "odd", "out" for the channels that it puts out, None for any."""

MakeNode = Callable[[Array, Any], Any]
"""Makes the node of a weight and its bias, or None."""

_NUMBER = re.compile(r"\d{1,4}")


class Layers(ABC):
    """Layers of a network whose arrays have names.

    Parameters
    ----------
    arrays : dict of str to array
    epsilon : float
        Of the batch norms.
    """

    def __init__(self, arrays: StateDict, epsilon: float) -> None:
        self.arrays = arrays
        self.epsilon = float(epsilon)
        self.facts: dict[str, Any] = {}
        parts = [key.split(".", MOST_PARTS) for key in arrays]
        self._stems = {".".join(names[:count]) for names in parts for count in range(1, len(names))}

    # --- What is there -----------------------------------------------------------------------------------------------

    def has(self, stem: str) -> bool:
        """Whether any array's name begins so, a point behind it."""
        return stem in self._stems

    def is_norm(self, stem: str) -> bool:
        """Whether these are the arrays of a batch norm."""
        return any(f"{stem}.{part}" in self.arrays for part in STATISTICS)

    def numbers(self, stem: str = "") -> list[int]:
        """Numbers that stand behind a stem, or first of all, ascending."""
        first = f"{stem}." if stem else ""
        found = {name.removeprefix(first).partition(".")[0] for name in self._stems if name.startswith(first)}
        return sorted(int(number) for number in found if _NUMBER.fullmatch(number))

    def count(self, stem: str, first: int = 1) -> int:
        """How many numbers there are in a row behind a text, from `first` on: down1, down2 ..."""
        number = first
        while self.has(f"{stem}{number}"):
            number += 1
        return number - first

    def size(self, key: str, axis: int) -> int | None:
        """Length of an axis of a weight; None where it is not there."""
        shape = self.arrays[f"{key}.weight"].shape if f"{key}.weight" in self.arrays else ()
        return int(shape[axis]) if axis < len(shape) and shape[axis] else None

    def assume(self, **facts: Any) -> None:
        """Say what no key does; it comes into the network's metadata."""
        self.facts |= facts

    # --- Layers ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def input(self, channels: int | None, size: tuple[int, int] | None = None) -> Value:
        """The picture, of a size that full connections ask for."""

    def convolution(
        self,
        key: str,
        value: Value,
        *,
        name: str = "",
        norm: str = "",
        stride: int = 1,
        dilation: int = 1,
        kernel: int = 0,
        groups: bool = False,
    ) -> Value:
        """A convolution that keeps the picture's size but for its stride, with the batch norm behind it.

        `kernel` is the size that it must have, 0 for any odd one; with `groups` the weight says how many there are.
        """

        def node(weight: Array, bias: Any) -> Projection:
            edges = tuple(dilation * (size // 2) for size in weight.shape[2:])
            count = self._channels(value) // weight.shape[1] if groups else 1
            options: Any = {"stride": (stride, stride), "padding": edges, "dilation": (dilation, dilation)}
            return Conv2d(name or key, "", weight, bias, groups=count, **options)

        incoming, side = None if groups else self._channels(value), kernel or "odd"
        return self._weighted(key, value, ("out", incoming, side, side), norm, node)

    def of_pixels(self, key: str, value: Value, *, name: str = "") -> Value:
        """A convolution of 3x3 that reads blocks of 2x2 pixels as channels, and behind them a map."""
        channels = self._channels(value)
        incoming = None if channels is None else 4 * (channels - 1) + 1
        edges: Any = {"stride": (2, 2), "padding": (2, 2)}
        return self._weighted(
            key,
            value,
            ("out", incoming, 3, 3),
            "",
            lambda weight, bias: Conv2d(name or key, "", of_pixels(weight), bias, **edges),
        )

    def to_pixels(self, key: str, value: Value, *, name: str = "") -> Value:
        """A convolution of 3x3 whose channels are blocks of 2x2 pixels."""
        edges: Any = {"stride": (2, 2), "padding": (2, 2)}
        return self._weighted(
            key,
            self._with_ones(value),
            ("out", self._channels(value), 3, 3),
            "",
            lambda weight, bias: ConvTranspose2d(name or key, "", to_pixels(weight, bias), **edges),
        )

    def transposed(self, key: str, value: Value, *, name: str = "", norm: str = "", kernel: int = 2) -> Value:
        """A transposed convolution that makes pictures twice as large, with a kernel of 2 or 3."""

        def node(weight: Array, bias: Any) -> Projection:
            rest = (kernel - 2, kernel - 2)
            return ConvTranspose2d(name or key, "", weight, bias, stride=(2, 2), padding=rest, output_padding=rest)

        return self._weighted(key, value, (self._channels(value), "out", kernel, kernel), norm, node)

    def linear(self, key: str, value: Value, *, norm: str = "", places: int = 1) -> Value:
        """A full connection with what has `places` pixels, and the batch norm behind it."""
        channels = self._channels(value)
        expected = ("out", None if channels is None else channels * places)
        return self._weighted(key, value, expected, norm, lambda weight, bias: Linear(key, "", weight, bias))

    @abstractmethod
    def norm(self, key: str, value: Value) -> Value:
        """A batch norm of its own, such as one behind a ReLU."""

    @abstractmethod
    def relu(self, name: str, value: Value) -> Value:
        """Neurons."""

    def max_pool(self, name: str, value: Value, kernel: int = 2, stride: int = 2, padding: int = 0) -> Value:
        """Largest values of windows."""
        return self._plain(MaxPool2d(name, "", (kernel, kernel), (stride, stride), (padding, padding)), value)

    def average_pool(self, name: str, value: Value) -> Value:
        """Means of 2x2 pixels."""
        return self._plain(AvgPool2d(name, "", (2, 2)), value)

    def global_average(self, name: str, value: Value) -> Value:
        """Means of whole pictures."""
        return self._plain(GlobalAvgPool2d(name, ""), value)

    def upsample(self, name: str, value: Value, *, align_corners: bool) -> Value:
        """Twice as large, bilinearly."""
        return self._plain(Upsample(name, "", (2, 2), "bilinear", align_corners), value)

    @abstractmethod
    def concat(self, name: str, *values: Value) -> Value:
        """Channels side by side, in this order."""

    @abstractmethod
    def add(self, name: str, *values: Value) -> Value:
        """A sum."""

    @abstractmethod
    def finish(self, value: Value) -> None:
        """Put out a value."""

    @abstractmethod
    def require(self, key: str, problem: str, holds: bool) -> None:
        """Note what is wrong with an array, where something does not hold."""

    # --- What a walk does with them ----------------------------------------------------------------------------------

    @abstractmethod
    def _channels(self, value: Value) -> Any:
        """Number of channels that a value has; None where it is not known."""

    @abstractmethod
    def _weighted(self, key: str, value: Value, expected: tuple[Size, ...], norm: str, node: MakeNode) -> Value:
        """A layer with weights of the expected shape, and its batch norm, where `norm` is the key of one."""

    @abstractmethod
    def _with_ones(self, value: Value) -> Value:
        """A value and one channel more, which is 1 everywhere."""

    @abstractmethod
    def _plain(self, node: Projection, value: Value) -> Value:
        """A layer without weights that keeps the channels."""
