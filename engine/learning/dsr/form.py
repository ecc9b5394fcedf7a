"""What networks that are trained on the spike representation have in common, whatever is between their populations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...graph import Network
from ..connected import Fired
from .settings import DsrSettings

Array = NDArray[Any]
Parameters = dict[str, Array]


class Scored(Protocol):
    """What the backward pass needs of a forward one; `scores` are (N, K)."""

    @property
    def scores(self) -> Array:
        """(N, K)."""


Tape_ = TypeVar("Tape_", bound=Scored)


class Form(ABC, Generic[Tape_]):
    """A kind of network, without its parameters.

    Parameters
    ----------
    settings : DsrSettings
    shape : (C, H, W)
        Of the pictures.
    classes : int
    """

    def __init__(self, settings: DsrSettings, shape: tuple[int, int, int], classes: int) -> None:
        self.settings = settings
        self.shape = shape
        self.classes = classes

    @abstractmethod
    def first_parameters(self, generator: np.random.Generator) -> Parameters:
        """Weights, biases and thresholds to begin with, by "node.weight", "node.bias" and "node.threshold"."""

    @abstractmethod
    def clipped(self, parameters: Mapping[str, Array], pictures: Array) -> Tape_:
        """Representations of the artificial network, o = clip(r, 0, theta), in the parameters' precision."""

    @abstractmethod
    def counted(self, parameters: Mapping[str, Array], pictures: Array) -> Tape_:
        """Representations as the spikes of the T steps give them."""

    @abstractmethod
    def gradients(self, parameters: Mapping[str, Array], tape: Tape_, gradient: Array) -> Parameters:
        """Gradients of all parameters from that of the scores, (N, K)."""

    @abstractmethod
    def spikes(self, parameters: Mapping[str, Array], pictures: Array) -> list[Fired]:
        """What each population emits, as the engine's simulation of `network` has it."""

    @abstractmethod
    def scores(self, parameters: Mapping[str, Array], pictures: Array) -> tuple[Array, float]:
        """Scores (N, K) that the engine's readout has, and the share of steps in which a neuron fires."""

    @abstractmethod
    def network(self, parameters: Mapping[str, Array], metadata: Mapping[str, Any]) -> Network:
        """The network of spiking neurons, for the engine."""

    def represent(self, parameters: Mapping[str, Array], pictures: Array) -> Tape_:
        """Representations: counted, or those of the artificial network where T is 0."""
        return (self.counted if self.settings.steps else self.clipped)(parameters, pictures)


def threshold_of(parameters: Mapping[str, Array], name: str) -> Any:
    """The number itself."""
    return parameters[f"{name}.threshold"][0]


def clip_backward(flow: Array, driven: Array, threshold: Any) -> tuple[Array, Array]:
    """Gradients of r, of the shape of `flow`, and of the threshold, (1,), from that of o = clip(r, 0, threshold)."""
    beyond = driven > threshold
    return np.where((driven >= 0) & ~beyond, flow, 0), np.array([flow[beyond].sum()], flow.dtype)
