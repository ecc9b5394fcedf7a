"""One logit as the logits of two classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikeunet.engine.errors import InputError
from spikeunet.engine.graph import FILE_WEIGHTS, Network, Node, Weighted, file_shares
from spikeunet.engine.layers import Conv2d


def two_classes(network: Network) -> Network:
    """A network that puts out one logit l, with the outputs 0 and l in its place.

    The softmax of these gives class 1 the probability that a sigmoid gives l. A network of other outputs comes back as
    it is; InputError where no weights make the logit.
    """
    if len(network.outputs) != 1 or network.channels[network.output.name] != 1:
        return network
    read = network.projections(network.output.source)
    last = [node for node in read if isinstance(node, Weighted)]
    if len(last) < len(read):
        kind, name = next((type(node).__name__, node.name) for node in read if not isinstance(node, Weighted))
        raise InputError(
            f"a segmentation has an output for each class, and this network puts out one logit, of {kind} {name!r}, "
            "which has no weights to make two of it; put neurons and a Scale of weights 1 before the Output"
        )
    doubled: dict[str, Node] = {node.name: _with_zeros(node) for node in last}
    shares = file_shares(network)
    added = {
        node.name: [int(shares.get(node.name, 1) * node.weight.size), 2 * node.weight.size]  # the zeros are not of it
        for node in last
    }
    return network.replace(
        [doubled.get(node.name, node) for node in network.nodes],
        metadata={**network.metadata, FILE_WEIGHTS: {**network.metadata.get(FILE_WEIGHTS, {}), **added}},
    )


def _with_zeros(node: Weighted) -> Weighted:
    """Synapses of one channel, with another one before it that is always 0."""
    if node.scales_channels:  # which cannot make two channels of one
        node = Conv2d(node.name, node.source, node.weight.reshape(1, 1, 1, 1), node.bias)
    lengths = (node.along_outputs(np.zeros(count)).shape for count in (1, 2))
    axis = next(axis for axis, sizes in enumerate(zip(*lengths, strict=True)) if sizes == (1, 2))
    weight = np.concatenate([np.zeros_like(node.weight), node.weight], axis)
    return replace(node, weight=weight, bias=np.concatenate([np.zeros_like(node.bias), node.bias]))
