"""The analog network, slowly: what the dense forward pass and the normalisation are held against."""

from __future__ import annotations

import dataclasses

import numpy as np

from spikeunet.engine import Add, Concat, Input, MaxPool2d, Neurons
from spikeunet.engine.neurons import rectifies
from spikeunet.engine.testing import reference


def run(network, picture):
    """Output and the activation of every Neurons node, float64, for a picture (C, H, W)."""
    values = {}
    for node in network.by_size:
        incoming = [values[source] for source in node.sources]
        if isinstance(node, Input):
            values[node.name] = picture.astype(np.float64)
        elif isinstance(node, Concat):
            values[node.name] = np.concatenate(incoming)
        elif isinstance(node, Add):
            values[node.name] = sum(incoming)
        elif isinstance(node, Neurons):
            values[node.name] = np.maximum(incoming[0], 0) if rectifies(node.model) else incoming[0]
        else:
            values[node.name] = _of_synapses(node, incoming[0])
    return values[network.output.name], {node.name: values[node.name] for node in network.neurons}


def _of_synapses(node, x):
    """The current of synapses, the largest number of each window of a max pool; what an Output reads."""
    if isinstance(node, MaxPool2d):
        plain = dataclasses.replace(node, variant="lateral-inhibition")
        return reference.STATEFUL[MaxPool2d](plain, np.zeros(x.shape), x)[1]
    return reference.SYNAPSES.get(type(node), lambda _, x: x)(node, x)


def assert_close(found, expected, tolerance=1e-5):
    """Equal up to `tolerance` times the largest magnitude."""
    assert found.shape == expected.shape
    scale = max(1e-30, float(np.abs(expected).max()))
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=tolerance)
