"""Muon: steps of momentum whose matrices are made orthogonal, so that no direction of a weight is left behind.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (kellerjordan.github.io/posts/muon);
steps as large as Adam's by J. Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2. PyTorch's
own takes matrices alone; this one takes convolutions, and a GPU can run it as a part of a graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

LEAST_CHANNELS = 8
"""Of a weight's sides: those that read or write a picture's few channels are left to Adam, and so are biases."""
MOMENTUM = 0.95
RMS = 0.2
"""Root of the mean square of a step's numbers, times the rate: Adam's."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the fifth-degree polynomial that brings singular values from 0 to 1 near 1 (Jordan et al.)."""
ROUNDS = 5
BETAS = (0.9, 0.999)
EPSILON = 1e-8


def is_hidden(parameter: Tensor) -> bool:
    """Whether a parameter is a weight between many channels and many."""
    return parameter.ndim >= 2 and min(parameter.shape[:2]) >= LEAST_CHANNELS


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix nearest to a matrix, (A, B), by Newton-Schulz iterations in bfloat16."""
    tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if tall else matrix).bfloat16()
    found = found / (found.norm() + 1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(ROUNDS):
        square = found @ found.T
        found = first * found + (second * square + third * square @ square) @ found
    return (found.T if tall else found).to(matrix.dtype)


class Muon(Optimizer):
    """Muon for a network's hidden weights, as matrices of their first side and all others, and Adam for the rest.

    Parameters
    ----------
    network : nn.Module
    rate : float or Tensor
        Of both.
    bias_share : float
        Of the rate, for what has one dimension: a bias that moves as far as Muon moves weights can leave its channel
        at 0 for good, behind a rectifier.
    """

    def __init__(self, network: nn.Module, rate: float | Tensor, bias_share: float = 1.0) -> None:
        self._bias_share = bias_share
        hidden = [each for each in network.parameters() if is_hidden(each)]
        others = [each for each in network.parameters() if not is_hidden(each)]
        groups = [{"params": hidden, "hidden": True}, {"params": others, "hidden": False}]
        super().__init__([group for group in groups if group["params"]], {"lr": rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Move the parameters that have a gradient."""
        if closure is not None:
            raise ValueError("this optimizer evaluates nothing: compute the gradients first")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    (self._turned if group["hidden"] else self._adam)(parameter, group["lr"])

    def _turned(self, parameter: Tensor, rate: float | Tensor) -> None:
        mean = self._kept(parameter, "momentum")
        mean.lerp_(parameter.grad, 1 - MOMENTUM)
        ahead = parameter.grad.lerp(mean, MOMENTUM)
        step = orthogonal(ahead.flatten(1)).reshape(parameter.shape)
        parameter.sub_(step * (rate * RMS * math.sqrt(max(parameter.shape[0], parameter[0].numel()))))

    def _adam(self, parameter: Tensor, rate: float | Tensor) -> None:
        mean, square = self._kept(parameter, "mean"), self._kept(parameter, "square")
        count = self._kept(parameter, "count", torch.zeros(()))
        count += 1
        share = self._bias_share if parameter.ndim == 1 else 1.0
        mean.lerp_(parameter.grad, 1 - BETAS[0])
        square.lerp_(parameter.grad.square(), 1 - BETAS[1])
        size = (square / (1 - BETAS[1] ** count)).sqrt() + EPSILON
        parameter.sub_(mean / size * (share * rate / (1 - BETAS[0] ** count)))

    def _kept(self, parameter: Tensor, name: str, like: Tensor | None = None) -> Tensor:
        """What is kept of a parameter, zeros at first."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter if like is None else like, device=parameter.device)
        return state[name]
