"""What a layer reads, on pictures, in the network as it was and in the one whose earlier layers are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.dense import activations
from spikeunet.engine.diagnosis import middle_of
from spikeunet.engine.errors import GraphError
from spikeunet.engine.graph import Network, Neurons, Weighted

Array = NDArray[Any]

MOST_INPUTS = 6144
"""Weights of an output channel beyond which a layer is not compensated: products of all pairs would fill the memory."""


@dataclass
class InputMoments:
    """Sums over places of the inputs that meet the weights of a row: those now, and those in the network as it was.

    Parameters
    ----------
    places : int
    total, total_before : (N,) float64
    products : (N, N) float64
        Of the inputs now with one another.
    products_before : (N, N) float64
        Of the inputs before with those now.
    """

    places: int
    total: Array
    total_before: Array
    products: Array
    products_before: Array

    @classmethod
    def nothing(cls, number: int) -> InputMoments:
        """Of no place yet."""
        return cls(0, *np.zeros((2, number)), *np.zeros((2, number, number)))

    def add(self, inputs: Array, before: Array) -> None:
        """Take in (P, N) float32 each."""
        self.places += len(inputs)
        self.total += inputs.sum(0, dtype=np.float64)
        self.total_before += before.sum(0, dtype=np.float64)
        self.products += inputs.T @ inputs
        self.products_before += before.T @ inputs

    @property
    def mean(self) -> Array:
        """(N,) float64."""
        return self.total / self.places

    @property
    def mean_before(self) -> Array:
        """(N,) float64."""
        return self.total_before / self.places

    @property
    def covariance(self) -> Array:
        """(N, N) float64, of the inputs now."""
        found: Array = self.products / self.places - np.outer(self.mean, self.mean)
        return found

    @property
    def covariance_before(self) -> Array:
        """(N, N) float64, of the inputs before with those now."""
        found: Array = self.products_before / self.places - np.outer(self.mean_before, self.mean)
        return found


def input_moments(before: Network, now: Network, name: str, pictures: Sequence[Array]) -> InputMoments | None:
    """Of a layer whose outputs all see all of its weights and which reads neurons alone, what it reads; else None.

    Both networks are run as artificial ones (ANN). With neurons of levels in the second, later layers would make up for
    these as well, but only for those of one number of steps, and on `denoise-gray` that is no better.

    Parameters
    ----------
    before : Network
        As it was.
    now : Network
        The same with layers before this one changed.
    name : str
    pictures : sequence of (C, H, W) float32
        Their middles are looked at.
    """
    node: Any = before[name]
    leaves = before.leaves(node.source)
    probe = _probe(node) if all(isinstance(before[leaf], Neurons) for leaf in leaves) else None
    if probe is None:
        return None
    found = InputMoments.nothing(probe.out_channels)
    for picture in pictures:
        middle = np.ascontiguousarray(middle_of(before, picture))
        pair = []
        for emitted in (activations(each, middle, set(leaves)) for each in (now, before)):
            read = probe.forward(tuple(emitted[leaf][None] for leaf in leaves))
            pair.append(read.reshape(-1, probe.out_channels))
        found.add(*pair)
    return found


def _probe(node: Any) -> Weighted | None:
    """The node with an output channel for each weight of a row, which puts out what meets that weight; None if none.

    None, too, where output channels do not all read the same: what rounding one of their few weights changes has few
    others that could make up for it; and where there are too many.
    """
    number = node.by_output(node.weight).shape[1]
    alone = node.weight.ndim < 2 or getattr(node, "groups", 1) != 1 or node.keeps_channels
    if alone or number > MOST_INPUTS:
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
