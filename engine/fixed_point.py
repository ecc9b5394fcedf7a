"""Weights that are small integers times a power of two, one for each output channel, and the unit that spikes count in.

Where weights and emitted values are whole multiples of powers of two, so is every product and every sum of products: a
dot product of small integers gives it exactly, in whatever order it adds.

    weight[c, ...] = code[c, ...] * 2**exponent[c],    -127 <= code <= 127

Scales by output channel without a zero point: Krishnamoorthi 2018 (arXiv 1806.08342); scales that are powers of two:
Jain, Gural, Wu and Dick, MLSys 2020 (arXiv 1903.08066).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .graph import Network, Neurons, Weighted
from .memory import empty
from .neurons import NeuronModel, level_table

Float32 = NDArray[np.float32]

LARGEST_CODE = 127
"""Codes are symmetric: -128 has no counterpart."""

LOWEST_EXPONENT = -149
"""2**-149 is the smallest float32 number."""

HIGHEST_EXPONENT = 127
"""2**127 is the largest power of two in float32."""

MOST_QUANTA = 255
"""Largest number of quanta in an emitted value: what an unsigned byte holds."""

SILENT_BITS = 16
"""Significant bits of the bias of a channel without weights: adding it up stays exact for 256 steps."""

_BLOCK = 2**16
"""Weights that are rounded at once: few enough that what is computed of them stays in the cache."""

_LARGEST = float(np.finfo(np.float32).max)


def check_bits(bits: int) -> int:
    """`bits` where weights can have so many, sign included: 2 to 8; InputError otherwise."""
    whole = isinstance(bits, (int, np.integer)) and not isinstance(bits, bool)
    if not whole or not 2 <= bits <= 8:
        raise InputError(f"weights can have 2 to 8 bits, the sign included (got {bits!r})")
    return int(bits)


def least_exponents(rows: Float32, most: int = LARGEST_CODE) -> NDArray[np.int32]:
    """Smallest exponent k of each row with max |row| <= most * 2**k, that is ceil(log2(max / most)); 0 for zeros.

    Parameters
    ----------
    rows : (out_channels, N) float32
    most : int
        Largest code.

    Returns
    -------
    (out_channels,) int32, from LOWEST_EXPONENT to 128
    """
    largest = np.maximum(rows.max(1), -rows.min(1)).astype(np.float64)
    mantissa, exponent = np.frexp(largest / most)
    least = np.maximum(exponent - (mantissa == 0.5), LOWEST_EXPONENT)
    return np.where(largest > 0, least, 0).astype(np.int32)


def codes_and_exponents(node: Weighted, signed_zeros: bool = True) -> tuple[NDArray[np.int8], NDArray[np.int32]] | None:
    """The weights as integers and powers of two, where they are that exactly, and None where they are not.

    Parameters
    ----------
    node : Weighted
    signed_zeros : bool
        Whether a weight of -0.0, which no integer is, is none that they are; otherwise it counts as 0.

    Returns
    -------
    codes : int8, shaped like the weight
        From -127 to 127.
    exponents : (out_channels,) int32
        The smallest that leave room for the codes; 0 where a channel's weights are all zero.
    """
    if not node.homogeneous:
        return None
    rows = node.by_output(node.weight)
    # Other weights show in the first channel already, and there may be millions of them.
    if _codes(rows[:1], least_exponents(rows[:1]), signed_zeros) is None:
        return None
    exponents = least_exponents(rows)
    codes = _codes(rows, exponents, signed_zeros)
    return None if codes is None else (node.from_rows(codes), exponents)


def _codes(rows: Float32, exponents: NDArray[np.int32], signed_zeros: bool = True) -> NDArray[np.int8] | None:
    """Codes of all weights, some channels at a time; None where a weight is no code times its channel's power."""
    codes, height = empty(rows.shape, np.int8), max(_BLOCK // rows.shape[1], 1)
    for first in range(0, len(rows), height):
        part = slice(first, first + height)
        if not _write_codes(rows[part], exponents[part], codes[part], signed_zeros):
            return None
    return codes


def _write_codes(rows: Float32, exponents: NDArray[np.int32], codes: NDArray[np.int8], signed_zeros: bool) -> bool:
    # Nothing may underflow: a weight that is tiny beside its channel's largest must not be taken for a zero.
    precise = rows if (exponents <= 0).all() else rows.astype(np.float64)
    scaled = np.ldexp(precise, -exponents[:, None])
    codes[:] = scaled
    return not ((codes != scaled).any() or (signed_zeros and np.signbit(rows[codes == 0]).any()))


def scaled_codes(node: Weighted, codes: NDArray[Any], exponents: NDArray[Any]) -> Float32:
    """Codes times 2**exponents as float32, shaped like the weight of `node`; infinite where float32 ends."""
    rows = node.by_output(codes)
    scaled = empty(rows.shape, np.float32)
    with np.errstate(over="ignore"):
        # Rounded once, where the product is subnormal: codes are exact in float32.
        np.ldexp(rows.astype(np.float32, copy=False), exponents[:, None].astype(np.int32), out=scaled)
    return node.from_rows(scaled)


def weight_bits(node: Weighted) -> int | None:
    """Bits that the node's integer weights take, sign included; None where they are no integers (see above)."""
    found = codes_and_exponents(node)
    if found is None:
        return None
    rows = np.abs(node.by_output(found[0]).astype(np.int16))
    largest = rows.max(1)
    # The lowest bit that a channel uses counts as its unit.
    used = np.bitwise_or.reduce(rows, axis=1)
    unit = np.maximum(used & -used, 1)
    return max(2, int((largest // unit).max()).bit_length() + 1)


def common_quantum(models: Iterable[NeuronModel]) -> float | None:
    """The largest power of two of which all that such neurons emit are multiples; None where that takes over 255."""
    return quantum_of(np.concatenate([table.emit[: table.highest + 1] for table in map(level_table, models)]))


def quantum_of(emitted: Float32) -> float | None:
    """The largest power of two of which all values are multiples; None where that takes over 255, or all are 0."""
    values = np.unique(np.abs(emitted).astype(np.float64))
    if values[-1] == 0:
        return None
    mantissas, exponents = np.frexp(values[values > 0])
    digits = np.ldexp(mantissas, 24).astype(np.int64)
    quantum = float(np.ldexp((digits & -digits).astype(np.float64), exponents - 24).min())
    return quantum if values[-1] <= MOST_QUANTA * quantum else None


def incoming_quantum(network: Network, node: Weighted) -> float | None:
    """The unit of what a node reads, seen through Joins; None where that is the picture or has no such unit."""
    leaves = [network[name] for name in network.leaves(node.source)]
    models = [leaf.model for leaf in leaves if isinstance(leaf, Neurons)]
    return common_quantum(models) if len(models) == len(leaves) else None


def quanta_of_layers(network: Network) -> dict[str, float]:
    """For each weighted layer that can be rounded the unit of what it reads; InputError where there is none."""
    weighted = [node for node in network.nodes if isinstance(node, Weighted) and node.homogeneous]
    units = {node.name: incoming_quantum(network, node) for node in weighted}
    quanta = {name: unit for name, unit in units.items() if unit is not None}
    if not quanta:
        raise InputError(
            "no layer's weights can be rounded: none reads spikes alone, all of whose values are multiples, at most "
            f"{MOST_QUANTA}, of one power of two; thresholds such as 1, 0.5, 0.25 have such values"
        )
    return quanta


def rounded_rows(rows: Float32, bits: int) -> tuple[Float32, NDArray[np.int32]]:
    """Each row rounded to integers of so many bits times the power of two that suits it better of two.

    These are the smallest one that leaves room for the largest weight, and half of it, where the largest weights are
    cut off to 2**(bits - 1) - 1. The one with the smaller squared error is taken.

    Parameters
    ----------
    rows : (out_channels, N) float32
    bits : int
        2 to 8.

    Returns
    -------
    codes : (out_channels, N) float32
        Whole numbers without negative zeros.
    exponents : (out_channels,) int32
    """
    codes, exponents = np.empty(rows.shape, np.float32), np.empty(len(rows), np.int32)
    together = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), together):
        block = slice(start, start + together)
        codes[block], exponents[block] = _rounded_block(rows[block], 2 ** (bits - 1) - 1)
    return codes, exponents


def _rounded_block(rows: Float32, most: int) -> tuple[Float32, NDArray[np.int32]]:
    exponents = least_exponents(rows, most)
    scaled = np.ldexp(rows, -exponents[:, None])
    # Beside the end of float32, rounding up would be infinite.
    room = np.minimum(most, np.floor(np.ldexp(_LARGEST, -exponents))).astype(np.float32)[:, None]
    whole = np.clip(np.rint(scaled), -room, room)
    finer = np.clip(np.rint(2 * scaled), -most, most)
    error = np.square(whole - scaled).sum(1)
    finer_error = np.square(finer / 2 - scaled).sum(1)
    halved = finer_error < error
    # Adding 0 makes negative zeros positive.
    return np.where(halved[:, None], finer, whole) + np.float32(0), (exponents - halved).astype(np.int32)


def rounded_bias(bias: Float32, exponents: NDArray[np.int32], quantum: float, silent: NDArray[np.bool_]) -> Float32:
    """Each bias as a whole multiple of quantum * 2**exponent, what a sum of its channel is a multiple of.

    Parameters
    ----------
    bias : (out_channels,) float32
    exponents : (out_channels,) int32
    quantum : float
        Unit of the emitted values, a power of two.
    silent : (out_channels,) bool
        Channels without weights, whose power of two is free: their biases keep SILENT_BITS significant bits.

    Returns
    -------
    (out_channels,) float32
    """
    free = np.ldexp(1.0, np.frexp(bias)[1] - SILENT_BITS)
    unit = np.where(silent, free, np.ldexp(quantum, exponents))
    room = np.floor(_LARGEST / unit)
    return (np.clip(np.rint(bias / unit), -room, room) * unit + 0.0).astype(np.float32)


def rounded_arrays(
    node: Weighted, weight: Float32, bias: Float32, bits: int, quantum: float
) -> tuple[Float32, Float32]:
    """Weight and bias of a node that reads multiples of `quantum`, rounded so that its sums are exact.

    Rounding what is rounded changes nothing: an exponent is never larger the second time, so that the first grid is a
    part of the second.
    """
    codes, exponents = rounded_rows(node.by_output(weight), bits)
    rounded = np.ldexp(codes, exponents[:, None])
    return node.from_rows(rounded), rounded_bias(bias, exponents, quantum, (codes == 0).all(1))
