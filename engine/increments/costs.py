"""What it costs to bring a layer up to date from change to change, and with all levels of what is dirty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..binding.gather_layer import GatherLayer
from ..kernels.entries import CHUNK
from ..kernels.increment_arguments import INCREMENT_COSTS

WALKED = 90.0
"""Products of a nanosecond from change to change, on one core of a server of 2024 with AVX-512."""

MULTIPLIED = {"vnni": 350.0, "amx": 1200.0, "portable": 20.0}
"""The same of all levels, by kind of kernels."""

DIRTY, VECTOR = 35.0, 6.0
"""Nanoseconds beside these, from change to change, for a dirty pixel and for each vector of its neurons."""

WALKED_IN_FLOATS, KEPT, UNPACKED = 10.0, 0.5, 0.7
"""Of layers in float32, with AVX2: products of a nanosecond, from change to change and from event to event; nanoseconds
to read what is kept of a vector of a dirty pixel's neurons, and to make events of a level of a touched row.
"""

FULL_VECTOR, SPREAD = 8.0, 0.1
"""The same in full, for each vector of a dirty pixel's neurons, and for each level of a touched row that is read."""


NO_CHOICE = np.array([(0.0, 1.0, 0.0, 0.0)], INCREMENT_COSTS)
"""Of layers that are not brought up to date from change to change."""


def costs_of(layer: GatherLayer, firing: float) -> NDArray[np.void]:
    """(1,) INCREMENT_COSTS, where a share of the neurons fires that are read.

    In float32 all that fires is walked as what has changed is, and only how much there is of each makes a difference.
    """
    (channels, height, width), (_, rows, _) = layer.outgoing, layer.incoming
    vectors = layer.padded_channels / CHUNK
    reached = layer.fan_out.most * layer.padded_channels / channels
    products = layer.dense_macs / (height * width) * layer.padded_channels / channels
    levels = rows / height * layer.incoming[0] * layer.incoming[2]
    if layer.integers is None:
        costs = reached / WALKED_IN_FLOATS, vectors * KEPT, firing * products / WALKED_IN_FLOATS, levels * UNPACKED
    else:
        full = products / MULTIPLIED[layer.integers.kind] + vectors * FULL_VECTOR
        costs = reached / WALKED, DIRTY + vectors * VECTOR, full, levels * SPREAD
    return np.array([costs], INCREMENT_COSTS)
