"""The network of a Spikingformer, node by node."""

from __future__ import annotations

import numpy as np

from spikeunet.engine.graph import Input, Neurons, Node, Output
from spikeunet.engine.layers import Add, Attention, Conv2d, MaxPool2d, MeanConv2d
from spikeunet.engine.neurons import IntegrateAndFire, LeakyIntegrateAndFire

from .keys import Folded, Layout

_GATE = IntegrateAndFire(reset="zero")
"""Neurons behind a max pool of spikes: they hand on what they receive."""


class Builder:
    """Puts the nodes together.

    Parameters
    ----------
    layout : Layout
        Checked.
    model : LeakyIntegrateAndFire
        Of all populations, with a threshold of 1.
    factor : float
        What the currents of populations are multiplied by.
    epsilon : float
        The batch norms'.

    Attributes
    ----------
    file_weights : dict of str to [int, int]
        By name of a node that was made with more weights than the file has for it: the file's, and these.
    """

    def __init__(self, layout: Layout, model: LeakyIntegrateAndFire, factor: float, epsilon: float) -> None:
        self._layout = layout
        self._model = model
        self._factor = factor
        self._epsilon = epsilon
        self._found: list[Node] = []
        self._readouts: list[str] = []
        self.file_weights: dict[str, list[int]] = {}
        self._stream = ""

    def nodes(self, heads: int, scale: float) -> list[Node]:
        """All nodes; `scale` is that of the attention's current."""
        self._tokeniser()
        for block in range(self._layout.depth):
            self._attention(f"block.{block}.attn", heads, scale)
            self._perceptron(f"block.{block}.mlp", is_last=block + 1 == self._layout.depth)
        return [*self._found, Add("head", tuple(self._readouts)), Output("output", "head")]

    def _tokeniser(self) -> None:
        stem, folded = self._layout.stem, [self._folded(*pair) for pair in self._layout.stem.pairs]
        source = self._add(Input("picture", folded[0][0].shape[1]))
        for number, (name, layer) in enumerate(zip(stem.convolutions, folded, strict=True)):
            if number:
                source = self._fire(name.removesuffix("conv") + "lif", source)
            if number in stem.pools:
                pool = self._add(
                    MaxPool2d(name.removesuffix("conv") + "mp", source, (3, 3), (2, 2), (1, 1), variant="stepwise")
                )
                source = self._add(Neurons(f"{pool}_spikes", pool, _GATE))
            if number == len(folded) - 1:
                self._branch(name, source, layer, padding=1)
            else:
                source = self._convolve(name, source, layer, padding=1)

    def _attention(self, name: str, heads: int, scale: float) -> None:
        source = self._fire(f"{name}.proj_lif", self._stream)
        parts = [self._folded(f"{name}.{part}_conv", f"{name}.{part}_bn") for part in "qkv"]
        joined = np.concatenate([weight for weight, _ in parts]), np.concatenate([bias for _, bias in parts])
        source = self._fire(f"{name}.qkv_lif", self._convolve(f"{name}.qkv_conv", source, joined))
        source = self._fire(f"{name}.attn_lif", self._add(Attention(f"{name}.attn", source, heads, scale)))
        self._branch(f"{name}.proj_conv", source, self._folded(f"{name}.proj_conv", f"{name}.proj_bn"))

    def _perceptron(self, name: str, is_last: bool) -> None:
        source = self._fire(f"{name}.mlp1_lif", self._stream)
        first, second = (self._folded(f"{name}.{part}_conv", f"{name}.{part}_bn") for part in ("mlp1", "mlp2"))
        source = self._fire(f"{name}.mlp2_lif", self._convolve(f"{name}.mlp1_conv", source, first))
        self._branch(f"{name}.mlp2_conv", source, second, is_read=not is_last)

    def _branch(self, name: str, source: str, layer: Folded, padding: int = 0, is_read: bool = True) -> None:
        """What is added to the stream, and what the head makes of it, which is all that is left of the last one."""
        weight, bias = layer
        head, offset = (self._layout.arrays[f"head.{part}"].astype(np.float64) for part in ("weight", "bias"))
        classes = np.einsum("kc,ciyx->kiyx", head, weight).astype(np.float32)
        readout = (head @ bias + (0 if self._readouts else offset)).astype(np.float32)
        self._readouts.append(self._add(MeanConv2d(f"head.{name}", source, classes, readout, (padding, padding))))
        if is_read:
            # The file has these weights once, in the convolution that follows; its head reads the sum of all branches.
            self.file_weights[self._readouts[-1]] = [0, classes.size]
            current = self._convolve(name, source, layer, padding)
            parts = (self._stream, current)
            self._stream = self._add(Add(f"{name}.sum", parts)) if self._stream else current
        elif classes.size > weight.size:
            # The file's convolution has its own channels here, not one for each class, whatever the head then does.
            self.file_weights[self._readouts[-1]] = [weight.size, classes.size]

    def _folded(self, convolution: str, norm: str) -> Folded:
        return self._layout.folded(convolution, norm, self._epsilon)

    def _convolve(self, name: str, source: str, layer: Folded, padding: int = 0) -> str:
        weight, bias = ((array * self._factor).astype(np.float32) for array in layer)
        return self._add(Conv2d(name, source, weight, bias, padding=(padding, padding)))

    def _fire(self, name: str, source: str) -> str:
        return self._add(Neurons(name, source, self._model))

    def _add(self, node: Node) -> str:
        self._found.append(node)
        return node.name
