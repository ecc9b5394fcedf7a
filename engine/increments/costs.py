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

FULL_VECTOR, SPREAD = 8.0, 0.1
"""The same in full, for each vector of a dirty pixel's neurons, and for each level of a touched row that is read."""


NO_CHOICE = np.array([(0.0, 1.0, 0.0, 0.0)], INCREMENT_COSTS)
"""Of layers that are not brought up to date from change to change."""


def costs_of(layer: GatherLayer) -> NDArray[np.void]:
    """(1,) INCREMENT_COSTS."""
    assert layer.integers is not None
    (channels, height, width), (_, rows, _) = layer.outgoing, layer.incoming
    vectors = layer.padded_channels / CHUNK
    entry = layer.fan_out.most * layer.padded_channels / channels / WALKED
    products = layer.dense_macs / (height * width) * layer.padded_channels / channels
    full = products / MULTIPLIED[layer.integers.kind] + vectors * FULL_VECTOR
    spread = rows / height * layer.incoming[0] * layer.incoming[2] * SPREAD
    return np.array([(entry, DIRTY + vectors * VECTOR, full, spread)], INCREMENT_COSTS)
