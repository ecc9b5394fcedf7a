"""Puts an architecture's network together, of a state dict whose keys and shapes are known to fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Network

from ..batch_norm import PARAMETERS, STATISTICS, folded_into
from ..builder import Builder
from ..state_dict import StateDict
from ..values import Current, Emitted, Value
from .layers import Layers, MakeNode, Size

SIDE = 1 << 14
"""Height and width of the picture that shapes are worked out for where nothing depends on them: a network may halve it
fourteen times."""

Array = NDArray[Any]


class Assembly(Layers):
    """Walks through an architecture with values of the network.

    Attributes
    ----------
    network : Network
        Not normalised, with default neurons, once the walk is finished; what was assumed is in its metadata, under
        "conversion".
    """

    network: Network

    def __init__(self, arrays: StateDict, epsilon: float) -> None:
        super().__init__(arrays, epsilon)
        self._builder = Builder(sum(array.size for array in arrays.values()))
        self._norms = 0
        self._zero_biases: list[str] = []

    def input(self, channels: int | None, size: tuple[int, int] | None = None) -> Emitted:
        """The Input node."""
        assert channels is not None
        return self._builder.add_input("input", (channels, *(size or (SIDE, SIDE))))

    def norm(self, key: str, value: Value) -> Current:
        """A Scale, unless it can be folded."""
        gain, shift = folded_into(np.ones(value.shape[0]), None, self._parts(key), self.epsilon)
        return self._builder.scaled(key, value, gain, shift, of_file=True)

    def relu(self, name: str, value: Value) -> Emitted:
        """Neurons without a chosen model."""
        return self._builder.rectify(name, value)

    def concat(self, name: str, *values: Value) -> Value:
        """A Concat; what was not emitted gets signed neurons, where nothing takes it into its weights."""
        return self._builder.join(name, list(values))

    def add(self, name: str, *values: Value) -> Current:
        """The sum of currents."""
        return self._builder.total(name, values)

    def finish(self, value: Value) -> None:
        """Make the network."""
        if self._norms:
            self.facts |= {"batch_norms": self._norms, "batch_norm_epsilon": self.epsilon}
        if self._zero_biases:
            self.facts["zero_biases"] = self._zero_biases
        self.network = Network(self._builder.finish(value), {"conversion": self.facts, **self._builder.metadata})

    def require(self, key: str, problem: str, holds: bool) -> None:
        """Nothing: the survey has seen to it."""

    def _channels(self, value: Value) -> int:
        return value.shape[0]

    def _with_ones(self, value: Value) -> Emitted:
        return self._builder.with_ones(self._builder.emit(value))

    def _plain(self, node: Any, value: Value) -> Current:
        reads = self._builder.emit(value)
        return self._builder.current(replace(node, source=reads.name), reads, reads.positive)

    def _weighted(self, key: str, value: Value, expected: tuple[Size, ...], norm: str, node: MakeNode) -> Current:
        weight, bias = self.arrays[f"{key}.weight"], self.arrays.get(f"{key}.bias")
        file_weights = weight.size
        if norm:
            weight, bias = folded_into(weight, bias, self._parts(norm), self.epsilon, expected.index("out"))
        made = node(weight, bias)
        if bias is None:
            self._zero_biases.append(made.name)
        # A convolution's outputs lie along the first axis of its weights, and its inputs along the second.
        current = self._builder.read_through(made, value, convolves=weight.ndim == 4 and expected[0] == "out")
        current.file_weights = file_weights
        return current

    def _parts(self, key: str) -> dict[str, Array]:
        self._norms += 1
        names = {part: f"{key}.{part}" for part in (*PARAMETERS, *STATISTICS)}
        return {part: self.arrays[name] for part, name in names.items() if name in self.arrays}
