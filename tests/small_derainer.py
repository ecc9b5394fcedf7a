"""The state dict of a small ESDNet as examples/train_derainer.py writes it, of random numbers."""

from __future__ import annotations

import numpy as np


def esdnet_state(width=2, blocks=(1, 1, 1, 1, 1), attention=True, spiking=True):
    random, arrays = np.random.default_rng(0), {}

    def add(name, *shape):
        arrays[name] = random.normal(0, 0.3, shape).astype(np.float32)

    def normed(name, out, into, size=3):
        add(f"{name}.conv.weight", out, into, size, size)
        for part in ("weight", "bias", "running_mean"):
            add(f"{name}.norm.{part}", out)
        arrays[f"{name}.norm.running_var"] = random.random(out, np.float32) + np.float32(0.5)

    one, two, four = width, 2 * width, 4 * width
    for name, out, into in (("embed", one, 3), ("readout", 3, one)):
        add(f"{name}.weight", out, into, 3, 3)
        add(f"{name}.bias", out)
    stages = zip(("encoder1", "encoder2", "middle", "decoder2", "decoder1"), (one, two, four, two, one), strict=True)
    for (stage, channels), number in zip(stages, blocks, strict=True):
        for block in (f"{stage}.{index}" for index in range(number)):
            normed(f"{block}.first", channels, channels)
            normed(f"{block}.second", channels, channels)
            if attention:
                add(f"{block}.attention.weight", channels + 2, channels)
                add(f"{block}.attention.bias", channels + 2)
    for name, out, into in (("down1", two, one), ("down2", four, two), ("up2", two, four), ("up1", one, two)):
        normed(name, out, into)
    normed("join2", two, 2 * two, 1)
    normed("join1", one, 2 * one, 1)
    numbers = {"neurons.threshold": 0.15, "neurons.decay": 0.5, "stream.quantum": 1 / 128, "branch.quantum": 1 / 256}
    return {**arrays, **({name: np.float32(number) for name, number in numbers.items()} if spiking else {})}
