"""Small Spiking-UNet state dicts with random weights."""

from __future__ import annotations

import numpy as np

from spikeunet.converters.architectures.spiking_unet import TRANSPOSED, layer_sources


def random_state(seed=0, channels=1, outputs=1, width=2, last_kernel=1, uneven=False):
    """Arrays of conv1 ... conv19 and convtranspose1 ... 4 whose activations neither vanish nor explode."""
    generator = np.random.default_rng(seed)
    sources = {"conv1": (), **layer_sources()}
    levels = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    level = {f"conv{number + 1}": depth for number, depth in enumerate(levels)}
    level |= {name: 3 - index for index, name in enumerate(TRANSPOSED)}
    widths = {name: width * 2**depth + (generator.integers(0, 3) if uneven else 0) for name, depth in level.items()}
    widths["conv19"] = outputs
    state = {}
    for layer, read in sources.items():
        incoming = sum(widths[name] for name in read) if read else channels
        kernel = last_kernel if layer == "conv19" else 3
        pair = (incoming, widths[layer]) if layer in TRANSPOSED else (widths[layer], incoming)
        scale = np.sqrt(2 / (incoming * kernel**2))
        state[f"{layer}.weight"] = (generator.standard_normal((*pair, kernel, kernel)) * scale).astype(np.float32)
        state[f"{layer}.bias"] = (0.1 * generator.standard_normal(widths[layer])).astype(np.float32)
    return state


def random_pictures(seed=0, channels=1, sizes=((32, 48), (21, 33))):
    """Float32 pictures in [0, 1]."""
    generator = np.random.default_rng(seed)
    return [generator.random((channels, *size)).astype(np.float32) for size in sizes]
