"""Optimisers: they change parameters in place. Their state is a few arrays, which a checkpoint keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..kernels.optimizers import adam_step, momentum_step, sum_of_squares
from .trainable import flat
from .workers import on_threads, slices

Array = NDArray[Any]
Parameters = dict[str, Array]


class Optimizer(Protocol):
    """Changes parameters by their gradients."""

    moments: dict[str, Array]
    count: int

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float) -> None:
        """Change the parameters that have a gradient, in place, with the learning rate `rate`."""


class SGD:
    """Stochastic gradient descent: m = momentum * m + gradient; parameter -= rate * m."""

    def __init__(self, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must lie in [0, 1) (got {momentum})")
        self.momentum = momentum
        self.moments: dict[str, Array] = {}
        self.count = 0

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float) -> None:
        """See Optimizer.step."""
        self.count += 1
        for name, gradient in gradients.items():
            mean = self.moments.setdefault(name, np.zeros(gradient.size, gradient.dtype))
            number = gradient.dtype.type
            arrays = (flat(parameters[name]), flat(gradient), mean, number(rate), number(self.momentum))
            _in_shares(momentum_step, arrays, gradient.size)


class Adam:
    """Adam with bias correction (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        if not all(0 <= beta < 1 for beta in betas) or epsilon <= 0:
            raise InputError(f"Adam's betas must lie in [0, 1) and epsilon be positive (got {betas}, {epsilon})")
        self.betas = betas
        self.epsilon = epsilon
        self.moments: dict[str, Array] = {}
        self.count = 0

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float) -> None:
        """See Optimizer.step."""
        self.count += 1
        first, second = self.betas
        correction = math.sqrt(1 - second**self.count)
        scaled_rate = rate * correction / (1 - first**self.count)
        for name, gradient in gradients.items():
            number = gradient.dtype.type
            mean = self.moments.setdefault(f"{name}.mean", np.zeros(gradient.size, gradient.dtype))
            square = self.moments.setdefault(f"{name}.square", np.zeros(gradient.size, gradient.dtype))
            constants = (number(scaled_rate), number(first), number(second), number(self.epsilon * correction))
            _in_shares(adam_step, (flat(parameters[name]), flat(gradient), mean, square, constants), gradient.size)


OPTIMIZERS = ("adam", "sgd")


def optimizer_named(name: str, momentum: float = 0.9) -> Optimizer:
    """A fresh optimiser; InputError where there is none of that name."""
    if name == "adam":
        return Adam((momentum, 0.999))
    if name == "sgd":
        return SGD(momentum)
    raise InputError(f"optimizer must be one of {', '.join(OPTIMIZERS)} (got {name!r})")


def clip_norm(gradients: Mapping[str, Array], most: float | None) -> float:
    """Scale all gradients, in place, so that their norm together is at most `most`; returns the norm before."""
    sums = on_threads(lambda name: float(sum_of_squares(flat(gradients[name]))), sorted(gradients))
    norm = math.sqrt(math.fsum(sums))
    if most is not None and norm > most:
        for gradient in gradients.values():
            np.multiply(gradient, gradient.dtype.type(most / norm), out=gradient)
    return norm


def _in_shares(kernel: Any, arguments: tuple[Any, ...], size: int) -> None:
    on_threads(lambda share: kernel(*arguments, *share), slices(size))
