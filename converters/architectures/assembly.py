"""Puts an architecture's network together, of a state dict whose keys and shapes are known to fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Network
from spikeunet.engine.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    Upsample,
)

from ..batch_norm import PARAMETERS, STATISTICS, folded_into
from ..builder import Builder
from ..state_dict import StateDict
from ..values import Current, Emitted, Value
from .layers import Layers

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
        assert channels is not None
        return self._builder.add_input("input", (channels, *(size or (SIDE, SIDE))))

    def convolution(self, key: str, value: Value, **options: Any) -> Current:
        name, stride, dilation = options.get("name") or key, options.get("stride", 1), options.get("dilation", 1)
        weight, bias = self._arrays(key, name, options.get("norm", ""))
        node = Conv2d(
            name,
            "",
            weight,
            bias,
            stride=(stride, stride),
            padding=(dilation * (weight.shape[2] // 2), dilation * (weight.shape[3] // 2)),
            dilation=(dilation, dilation),
            groups=value.shape[0] // weight.shape[1] if options.get("groups", False) else 1,
        )
        return self._builder.read_through(node, value)

    def transposed(self, key: str, value: Value, **options: Any) -> Current:
        name, rest = options.get("name") or key, options.get("kernel", 2) - 2
        weight, bias = self._arrays(key, name, options.get("norm", ""), axis=1)
        edges: Any = {"stride": (2, 2), "padding": (rest, rest), "output_padding": (rest, rest)}
        return self._builder.read_through(ConvTranspose2d(name, "", weight, bias, **edges), value)

    def linear(self, key: str, value: Value, **options: Any) -> Current:
        name = options.get("name") or key
        return self._builder.read_through(Linear(name, "", *self._arrays(key, name, options.get("norm", ""))), value)

    def norm(self, key: str, value: Value) -> Current:
        ones = np.ones(value.shape[0])
        gain, shift = folded_into(ones, None, self._parts(key), self.epsilon)
        return self._builder.scaled(key, value, gain, shift)

    def relu(self, name: str, value: Value) -> Emitted:
        return self._builder.rectify(name, value)

    def max_pool(self, name: str, value: Value, kernel: int = 2, stride: int = 2, padding: int = 0) -> Current:
        return self._without_weights(MaxPool2d(name, "", (kernel,) * 2, (stride,) * 2, (padding,) * 2), value)

    def average_pool(self, name: str, value: Value) -> Current:
        return self._without_weights(AvgPool2d(name, "", (2, 2)), value)

    def global_average(self, name: str, value: Value) -> Current:
        return self._without_weights(GlobalAvgPool2d(name, ""), value)

    def upsample(self, name: str, value: Value, *, align_corners: bool) -> Current:
        return self._without_weights(Upsample(name, "", (2, 2), "bilinear", align_corners), value)

    def concat(self, name: str, *values: Value) -> Emitted:
        return self._builder.join(name, list(values))

    def add(self, name: str, *values: Value) -> Current:
        return self._builder.total(name, values)

    def finish(self, value: Value) -> None:
        if self._norms:
            self.facts |= {"batch_norms": self._norms, "batch_norm_epsilon": self.epsilon}
        if self._zero_biases:
            self.facts["zero_biases"] = self._zero_biases
        self.network = Network(self._builder.finish(value), {"conversion": self.facts})

    def _without_weights(self, node: Any, value: Value) -> Current:
        reads = self._builder.emit(value)
        return self._builder.current(replace(node, source=reads.name), reads, reads.positive)

    def _arrays(self, key: str, name: str, norm: str, axis: int = 0) -> tuple[Array, Array | None]:
        """Weight and bias of a layer, with its batch norm folded in."""
        weight, bias = self.arrays[f"{key}.weight"], self.arrays.get(f"{key}.bias")
        if norm:
            return folded_into(weight, bias, self._parts(norm), self.epsilon, axis)
        if bias is None:
            self._zero_biases.append(name)
        return weight, bias

    def _parts(self, key: str) -> dict[str, Array]:
        self._norms += 1
        names = {part: f"{key}.{part}" for part in (*PARAMETERS, *STATISTICS)}
        return {part: self.arrays[name] for part, name in names.items() if name in self.arrays}
