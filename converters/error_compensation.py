"""Rounding that keeps a layer's output, not its weights: what it changes of one weight, the next ones make up for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.dense import evaluate
from spikeunet.engine.diagnosis import middle_of
from spikeunet.engine.errors import GraphError
from spikeunet.engine.fixed_point import rounded_rows
from spikeunet.engine.graph import Network, Neurons, Weighted

Array = NDArray[Any]

DAMPING = 0.01
"""Share of the mean variance that is added to every input's: few pictures say little about rare combinations."""

MOST_INPUTS = 6144
"""Weights of an output channel beyond which a layer is not compensated: products of all pairs would fill the memory."""

MOST_PRODUCTS = 2**26
"""Of pairs, that are kept at once: half a gigabyte."""

_BLOCK = 64
"""Columns between two updates of all columns behind them."""


@dataclass
class InputMoments:
    """Sums over places: how many there are, and of the inputs that meet the weights of a row their sum and products.

    Parameters
    ----------
    places : int
    total : (N,) float64
    products : (N, N) float64
    """

    places: int
    total: Array
    products: Array

    def add(self, inputs: Array) -> None:
        """Take in (P, N) float32."""
        self.places += len(inputs)
        self.total += inputs.sum(0, dtype=np.float64)
        self.products += inputs.T @ inputs

    @property
    def mean(self) -> Array:
        """(N,) float64."""
        return self.total / self.places

    @property
    def covariance(self) -> Array:
        """(N, N) float64."""
        found: Array = self.products / self.places - np.outer(self.mean, self.mean)
        return found


def input_moments(network: Network, names: Iterable[str], pictures: Sequence[Array]) -> dict[str, InputMoments]:
    """Of each named layer whose outputs all see all of its weights, what it reads in the analog network.

    Parameters
    ----------
    network : Network
    names : iterable of str
        Weighted nodes that read neurons.
    pictures : sequence of (C, H, W) float32
        Their middles are looked at.
    """
    probes = {name: probe for name in names if (probe := _probe(network[name])) is not None}
    found = {name: _nothing(node) for name, node in probes.items()}
    leaves = {leaf for name in probes for leaf in network.leaves(network[name].sources[0])}
    emitted: dict[str, Array] = {}

    def keep(name: str, activation: Array) -> None:
        emitted[name] = activation.copy()

    for picture in pictures:
        evaluate(network, np.ascontiguousarray(middle_of(network, picture)), keep, leaves)
        for name, probe in probes.items():
            value = tuple(emitted[leaf][None] for leaf in network.leaves(probe.source))
            found[name].add(probe.forward(value).reshape(-1, probe.out_channels))
    return found


def _nothing(probe: Weighted) -> InputMoments:
    number = probe.out_channels
    return InputMoments(0, np.zeros(number), np.zeros((number, number)))


def _probe(node: Any) -> Weighted | None:
    """The node with an output channel for each weight of a row, which puts out what meets that weight; None if none.

    None, too, where output channels do not all read the same: what rounding one of their few weights changes has few
    others that could make up for it; and where there are too many.
    """
    number = node.by_output(node.weight).shape[1]
    if getattr(node, "groups", 1) != 1 or node.keeps_channels or number > MOST_INPUTS:
        return None
    for axis in (0, 1):
        shape = list(node.weight.shape)
        shape[axis] = number
        with suppress(GraphError):  # output channels lie along another axis
            blank = replace(node, weight=np.zeros(shape, np.float32), bias=np.zeros(number, np.float32))
            if (blank.out_channels, blank.in_channels) == (number, node.in_channels):
                made: Weighted = replace(blank, weight=blank.from_rows(np.eye(number, dtype=np.float32)))
                return made
    return None


def compensated_rows(rows: Array, moments: InputMoments, bits: int) -> tuple[Array, Array, Array]:
    """Rows of weights rounded so that what they put out changes least, and what is missing on average.

    Column by column, from the input of the largest variance on: what rounding changes is made up for by the weights
    that are not rounded yet, as the inputs' covariance says (E. Frantar et al., "GPTQ", ICLR 2023, section 3). Of three
    powers of two for a row the one is taken with which least of its output is lost.

    Parameters
    ----------
    rows : (out_channels, N) float32
    moments : InputMoments
    bits : int

    Returns
    -------
    codes : (out_channels, N) float32
        Whole numbers.
    exponents : (out_channels,) int32
    missing : (out_channels,) float64
        Mean of the output before, less that of the rounded rows.
    """
    covariance = moments.covariance
    order, factor = _elimination(covariance)
    _, exponents = rounded_rows(rows, bits)
    best = np.full(len(rows), np.inf)
    codes, chosen = np.zeros(rows.shape, np.float32), exponents.copy()
    for shift in (0, 1, -1):
        shifted = exponents + shift
        found = np.empty(rows.shape, np.float32)
        found[:, order] = _codes(np.ldexp(rows.astype(np.float64), -shifted[:, None])[:, order], factor, bits)
        error = rows - np.ldexp(found, shifted[:, None])
        lost = np.einsum("ri,ij,rj->r", error, covariance, error, optimize=True)
        better = lost < best
        best[better], codes[better], chosen[better] = lost[better], found[better], shifted[better]
    missing = (rows - np.ldexp(codes.astype(np.float64), chosen[:, None])) @ moments.mean
    return codes + np.float32(0), chosen, missing


def _elimination(covariance: Array) -> tuple[Array, Array]:
    """The order of the columns, (N,), and how each one's change is made up for in it, (N, N) upper triangular."""
    variances = np.diag(covariance)
    damped = covariance + np.eye(len(covariance)) * max(DAMPING * float(variances.mean()), 1e-12)
    order = np.argsort(-variances, kind="stable")
    return order, np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T


def _codes(left: Array, factor: Array, bits: int) -> Array:
    """Codes of scaled weights, (out_channels, N), column by column."""
    most = 2 ** (bits - 1) - 1
    codes = np.empty_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        block = slice(start, min(start + _BLOCK, left.shape[1]))
        changes = _round_block(left[:, block], factor[block, block], codes[:, block], most)
        left[:, block.stop :] -= changes @ factor[block, block.stop :]
    return codes


def _round_block(left: Array, factor: Array, codes: Array, most: int) -> Array:
    """Round some columns, each in view of those before it; returns what the columns behind them have to make up for."""
    left, changes = left.copy(), np.empty_like(left)
    for column in range(left.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column]), -most, most)
        changes[:, column] = (left[:, column] - codes[:, column]) / factor[column, column]
        left[:, column + 1 :] -= np.outer(changes[:, column], factor[column, column + 1 :])
    return changes


def each_with_moments(
    network: Network, names: Iterable[str], pictures: Sequence[Array]
) -> Iterator[tuple[str, InputMoments]]:
    """`input_moments` of named layers one after the other, few in memory at once; of those that can be compensated."""
    together: list[str] = []
    size = 0
    for name in names:
        node: Any = network[name]
        if not all(isinstance(network[leaf], Neurons) for leaf in network.leaves(node.source)):
            continue
        own = node.by_output(node.weight).shape[1] ** 2
        if together and size + own > MOST_PRODUCTS:
            yield from input_moments(network, together, pictures).items()
            together, size = [], 0
        together.append(name)
        size += own
    yield from input_moments(network, together, pictures).items()
