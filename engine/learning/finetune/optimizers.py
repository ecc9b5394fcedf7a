"""Optimisers: they change parameters in place. Their state is a few arrays, which a checkpoint keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...kernels.float_mode import flushing
from ...kernels.optimizers import AdamConstants, adam_step, add_squares, average_step, momentum_step
from ...threads import on_threads, slices
from .sums import exact_sum
from .trainable_arrays import flat

Array = NDArray[Any]
Parameters = dict[str, Array]

_SQUARES = 256
"""Sums of squares side by side: vector instructions, and a fixed order."""

_FIRST_AVERAGES = 10
"""An average follows quickly at first: after n steps its decay is at most (1 + n) / (this + n)."""


class Optimizer(Protocol):
    """Changes parameters by their gradients; `moments` has an entry for each parameter and each of the suffixes."""

    suffixes: tuple[str, ...]
    moments: dict[str, Array]
    count: int

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, scale: float = 1.0) -> None:
        """Change the parameters that have a gradient, in place, with the learning rate `rate`.

        The gradients are taken times `scale`.
        """


class SGD:
    """Stochastic gradient descent: m = momentum * m + gradient; parameter -= rate * m."""

    suffixes: tuple[str, ...] = ("",)

    def __init__(self, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must lie in [0, 1) (got {momentum})")
        self.momentum = momentum
        self.moments: dict[str, Array] = {}
        self.count = 0

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, scale: float = 1.0) -> None:
        """See Optimizer.step."""
        self.count += 1
        for name, gradient in gradients.items():
            mean = self.moments.setdefault(name, np.zeros(gradient.size, gradient.dtype))
            number = gradient.dtype.type
            constants = (number(rate), number(self.momentum), number(scale))
            _in_shares(momentum_step, (flat(parameters[name]), flat(gradient), mean), *constants)


class Adam:
    """Adam with bias correction (Kingma and Ba, arXiv 1412.6980, algorithm 1)."""

    suffixes: tuple[str, ...] = (".mean", ".square")

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        if not all(0 <= beta < 1 for beta in betas) or epsilon <= 0:
            raise InputError(f"Adam's betas must lie in [0, 1) and epsilon be positive (got {betas}, {epsilon})")
        self.betas = betas
        self.epsilon = epsilon
        self.moments: dict[str, Array] = {}
        self.count = 0

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, scale: float = 1.0) -> None:
        """See Optimizer.step."""
        self.count += 1
        first, second = self.betas
        correction = math.sqrt(1 - second**self.count)
        scaled_rate = rate * correction / (1 - first**self.count)
        for name, gradient in gradients.items():
            number = gradient.dtype.type
            mean = self.moments.setdefault(f"{name}.mean", np.zeros(gradient.size, gradient.dtype))
            square = self.moments.setdefault(f"{name}.square", np.zeros(gradient.size, gradient.dtype))
            numbers = (scaled_rate, first, second, self.epsilon * correction, scale)
            constants = AdamConstants(*(number(value) for value in numbers))
            _in_shares(adam_step, (flat(parameters[name]), flat(gradient), mean, square), constants)


def decay_weights(parameters: Parameters, gradients: Mapping[str, Array], share: float) -> None:
    """Take a share off the weights that have a gradient, in place, before a step; not off biases and scales.

    With Adam that is AdamW (Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101).
    """
    for name in gradients:
        if name.endswith(".weight"):
            parameters[name] *= parameters[name].dtype.type(1 - share)


OPTIMIZERS = ("adam", "sgd")


def optimizer_named(name: str, momentum: float = 0.9) -> Optimizer:
    """A fresh optimiser; InputError where there is none of that name."""
    if name == "adam":
        return Adam((momentum, 0.999))
    if name == "sgd":
        return SGD(momentum)
    raise InputError(f"optimizer must be one of {', '.join(OPTIMIZERS)} (got {name!r})")


def gradient_norm(gradients: Mapping[str, Array]) -> float:
    """Norm of all gradients together."""
    return math.sqrt(exact_sum(on_threads(lambda name: _sum_of_squares(flat(gradients[name])), sorted(gradients))))


def clip_factor(norm: float, most: float | None) -> float:
    """What to multiply gradients of this norm with, so that it is at most `most`."""
    return most / norm if most is not None and norm > most else 1.0


def update_averages(averages: Parameters, parameters: Mapping[str, Array], decay: float, steps: int) -> None:
    """Set average = d * average + (1 - d) * parameter, in place.

    d is `decay`, or (1 + steps) / (10 + steps) where that is smaller: what a long run began with is soon forgotten, and
    a short one is averaged too. `steps` is how many were made before.
    """
    now = min(decay, (1 + steps) / (_FIRST_AVERAGES + steps))
    for name, average in averages.items():
        arrays = (flat(average), flat(parameters[name]))
        _in_shares(average_step, arrays, average.dtype.type(1 - now))


def _sum_of_squares(values: Array) -> float:
    """In double precision, always in the same order."""
    sums, whole = np.zeros(_SQUARES), values.size // _SQUARES * _SQUARES
    add_squares(values[:whole].reshape(-1, _SQUARES), sums)
    rest = values[whole:].astype(np.float64)
    return float(sums.sum() + rest @ rest)


def _in_shares(kernel: Any, arrays: tuple[Array, ...], *constants: Any) -> None:
    """Run a kernel on parts of flat arrays of one length."""
    work = flushing(lambda share: kernel(*(array[slice(*share)] for array in arrays), *constants))
    on_threads(work, slices(arrays[0].size))
