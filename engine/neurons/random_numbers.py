"""Random numbers of neurons, as plain Python: what engine/kernels/step_inputs.py computes."""

from __future__ import annotations

import hashlib

_ALL = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


def layer_key(layer: str, seed: int) -> int:
    """What tells the random numbers of a layer from those of others: of its name and its model's seed, 64 bits."""
    digest = hashlib.blake2b(f"{seed}:{layer}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_number(key: int, step: int, neuron: int) -> float:
    """The number from 0 up to 1 that a neuron gets at a step.

    Parameters
    ----------
    key : int
        Of the layer, see `layer_key`.
    step : int
    neuron : int
        In a layer of the shape (C, H, W) the neuron (c, y, x) has the number (y * W + x) * C + c.
    """
    begin = _mixed(key + step * _GOLDEN)
    return (_mixed(begin + neuron * _GOLDEN) >> 11) * 2.0**-53


def _mixed(number: int) -> int:
    number &= _ALL
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & _ALL
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & _ALL
    return number ^ (number >> 31)
