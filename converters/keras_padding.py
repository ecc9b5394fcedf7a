"""Networks out of Keras pad as Keras does: where the sides are uneven, "same" takes the end, PyTorch the beginning."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from spikeunet.engine.errors import StateDictError, first_few
from spikeunet.engine.graph import FILE_WEIGHTS, Network, Node

from .weights import KerasArrays, KerasLayer

_PAD_BY_SIZE = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D")
_ASSUMED = "Keras's 'same' in transposed convolutions"


def with_keras_padding(network: Network, arrays: KerasArrays) -> Network:
    """The network of an architecture, written for PyTorch's pads, with those that its weights were trained with.

    Transposed convolutions of 3x3 that double the size crop the end and not the beginning. Of strided convolutions and
    poolings with pads that depends on the picture's size, which an architecture does not know.

    Parameters
    ----------
    network : Network
        Out of a Blueprint, not normalised.
    arrays : KerasArrays

    Raises
    ------
    StateDictError
        If strided convolutions or poolings may pad otherwise.
    """
    layers = arrays.layers.values()
    _check_strided(network, layers)
    cropped: list[Any] = [node for node in network.nodes if any(getattr(node, "output_padding", ()))]
    said = {layer.padding for layer in layers if layer.kind == "Conv2DTranspose" and layer.kernel > layer.stride > 1}
    if not cropped or said == {"valid"}:
        return network  # "valid" puts out one row more, which the program crops by itself
    moved = {node.name: _cropped_at_the_end(node) for node in cropped}
    sizes = dict(network.metadata.get(FILE_WEIGHTS, {}))
    for node in cropped:
        own, _ = sizes.get(node.name, (node.weight.size, 0))
        sizes[node.name] = [own, moved[node.name].weight.size]
    facts = {**network.metadata.get("conversion", {}), **({} if said == {"same"} else {"padding": _ASSUMED})}
    metadata = {**network.metadata, "conversion": facts, FILE_WEIGHTS: sizes}
    nodes: list[Node] = [moved.get(node.name, node) for node in network.nodes]
    return network.replace(nodes, metadata)


def _cropped_at_the_end(node: Any) -> Any:
    """A transposed convolution whose output begins as much earlier as it was padded there, a zero before its kernel."""
    before = [(extra, 0) for extra in node.output_padding]
    weight = np.pad(node.weight, [(0, 0), (0, 0), *before])
    return replace(node, weight=weight, output_padding=(0, 0))


def _check_strided(network: Network, layers: Collection[KerasLayer]) -> None:
    """StateDictError where strided layers pad, and the file does not say that they do it as PyTorch's."""
    padded = [node.name for node in network.nodes if _strided_with_pads(node)]
    same = any(
        layer.kind in _PAD_BY_SIZE and layer.padding == "same" and layer.kernel > 1 < layer.stride for layer in layers
    )
    if padded and (same or not layers):
        raise StateDictError(
            f"{first_few(padded)}: Keras's 'same' pads strided layers at the end, by the picture's size, and this "
            "architecture at the beginning, too; convert the network from ONNX, or where it pads as PyTorch does "
            "(ZeroPadding2D, 'valid'), save it whole as .keras"
        )


def _strided_with_pads(node: Any) -> bool:
    """Whether a node may read other places by Keras's pads; of even kernels, which read whole blocks, they are even."""
    pads = any(getattr(node, "padding", ())) and max(node.stride) > 1
    if not pads or hasattr(node, "output_padding"):  # or one that is transposed
        return False
    sizes = node.weight.shape[2:] if hasattr(node, "weight") else node.kernel_size
    return any(size % 2 for size in sizes)
