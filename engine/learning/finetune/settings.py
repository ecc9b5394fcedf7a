"""Everything that decides a training run, apart from the network and the pictures."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError
from ...fixed_point import check_bits
from ...tasks.inference import check_steps
from .losses import loss_named
from .optimizers import optimizer_named
from .schedules import Schedule
from .surrogates import Surrogate

METHODS = ("flow", "bptt")
MAXIMUM_ITERATIONS = 10**9
"""More than this no run comes to the end of: at a millisecond each, eleven days."""

MAXIMUM_SHARES = 256


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Parameters
    ----------
    steps : int
        Time steps T, 1 to 1000.
    method : "flow" or "bptt"
        Accumulated spiking flow, or backpropagation through time with surrogate derivatives.
    iterations : int
        Length of the run, 1 to 10**9.
    loss : "l1", "mse", "log-mse", "ssim", "l1-ssim" or "cross-entropy"
    class_weights : tuple of float
        Weight of each class in the cross-entropy; empty: all alike.
    penalty : float
        Weight of the spike-count penalty; see penalty.py.
    optimizer : "adam" or "sgd"
    momentum : float
        Of sgd, and Adam's first decay.
    rate : float
        Largest learning rate.
    schedule : Schedule
    clip : float or None
        Largest norm of all gradients together.
    average : float
        Decay of an exponential moving average of the parameters, from 0 (none) to below 1. Validation and the result
        then use the averages, which vary less from batch to batch; 0.99 to 0.999 is usual. See
        optimizers.update_averages.
    surrogate : Surrogate
        For bptt.
    saturating : bool
        For flow: whether neurons that emit the most they can at every step pass no gradient on; see flow.py.
    scales : "none", "layer" or "channel"
        Whether to train the thresholds, by a factor for each layer or channel.
    initial : bool
        Whether to train each layer's initial potential.
    weights, biases : bool
        Whether to train them.
    weight_bits : int or None
        Run on weights rounded to so many bits, 2 to 8, and go straight through the rounding on the way back; see
        trainable.py. The result has the rounded weights.
    batch_norm : float or None
        Train with batch norms behind all weights but the readout's, whose scale begins with so many thresholds (tdBN:
        1/sqrt(2) is usual); see batch_norm.py. For bptt. The result has them folded.
    weight_decay : float or None
        Share of the weights, times the learning rate, that is taken off them at each step: with Adam that is AdamW.
    shares : int
        Run each batch in so many parts, 1 to 256, whose gradients are added up in their order; see shares.py. What is
        found is rounded otherwise than that of a batch as a whole. Not with batch norms, which need all of it.
    seed : int
        Of the generator that draws the batches.

    Raises
    ------
    InputError
        If a number is out of range or a name unknown.
    """

    steps: int = 4
    method: str = "flow"
    iterations: int = 1000
    loss: str = "mse"
    class_weights: tuple[float, ...] = ()
    penalty: float = 0.0
    optimizer: str = "adam"
    momentum: float = 0.9
    rate: float = 1e-4
    schedule: Schedule = field(default_factory=Schedule)
    clip: float | None = 1.0
    average: float = 0.0
    surrogate: Surrogate = field(default_factory=Surrogate)
    saturating: bool = False
    scales: str = "none"
    initial: bool = False
    weights: bool = True
    biases: bool = True
    weight_bits: int | None = None
    batch_norm: float | None = None
    weight_decay: float | None = None
    shares: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)} (got {self.method!r})")
        for name, least, most in (
            ("iterations", 1, MAXIMUM_ITERATIONS),
            ("shares", 1, MAXIMUM_SHARES),
            ("seed", 0, None),
        ):
            check_whole(name, getattr(self, name), least, most)
        loss_named(self.loss, self.class_weights)
        optimizer_named(self.optimizer, self.momentum)
        _check(self.rate > 0, "the learning rate must be positive", self.rate)
        _check(self.penalty >= 0, "the penalty must not be negative", self.penalty)
        _check(0 <= self.average < 1, "the decay of the averages must lie in [0, 1)", self.average)
        if self.weight_bits is not None:
            check_bits(self.weight_bits)
        if self.saturating and self.method != "flow":
            raise InputError(
                f"saturating neurons are for accumulated flow, as surrogates say how neurons saturate; take the method "
                f"flow (got {self.method!r})"
            )
        if self.batch_norm is not None:
            self._check_batch_norm(self.batch_norm)
        if self.weight_decay is not None:
            _check(self.weight_decay >= 0, "the weights' decay must not be negative", self.weight_decay)
        if self.clip is not None:
            _check(self.clip > 0, "the gradient's largest norm must be positive", self.clip)

    def _check_batch_norm(self, scale: float) -> None:
        _check(scale > 0, "the scale of batch norms must be positive", scale)
        if self.method != "bptt":
            raise InputError(f"batch norms are trained through time; take the method bptt (got {self.method!r})")
        if self.shares > 1:
            raise InputError(f"batch norms need the whole batch at a time; train them in one share (got {self.shares})")

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return dataclasses.asdict(self)


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """InputError where a value is no whole number of that range."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least} (got {value!r})")
    if most is not None and value > most:
        raise InputError(f"{name} must be at most {most} (got {value})")


def _check(in_range: bool, rule: str, value: float) -> None:
    if not (math.isfinite(value) and in_range):
        raise InputError(f"{rule} (got {value})")
