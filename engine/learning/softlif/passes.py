"""A network of rates, forward and backward: every population answers its current by its SoftLIF rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dense.forward import forward_with
from ...errors import InputError
from ...graph import Network, Neurons
from ...neurons import InterpolatedLeakyIntegrateAndFire
from ..finetune.passes import Kept, refuse_untrainable, run_backward, run_forward
from .rate import lif_rate, softlif

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RateTape:
    """What the backward pass needs of a forward one.

    Parameters
    ----------
    values : dict of (N, H, W, C)
        Rates of each Neurons node, times the amplitude, and the analog input.
    slopes : dict of (N, H, W, C)
        Derivative of each Neurons node's rates by its current.
    output : (N, H, W, O)
    kept : dict
        What the backward pass can use again.
    """

    values: dict[str, Array]
    slopes: dict[str, Array]
    output: Array
    kept: Kept = field(default_factory=dict)


def run_rates(network: Network, batch: Array, sigma: float) -> RateTape:
    """Rates of a batch (N, H, W, C), float32 or float64 as its parameters.

    Raises
    ------
    InputError
        If neurons of the network are no `InterpolatedLeakyIntegrateAndFire`, or it cannot be trained.
    """
    check_rates(network)
    slopes: dict[str, Array] = {}
    kept: Kept = {}

    def fire(node: Neurons, current: Array) -> Array:
        rate, slopes[node.name] = softlif(_model(node), current, sigma)
        return rate

    values, output = run_forward(network, batch, fire, kept)
    return RateTape(values, slopes, output, kept)


def rate_gradients(network: Network, tape: RateTape, gradient: Array) -> dict[str, Array]:
    """Gradients by "node.weight" and "node.bias", from that by `tape.output`."""

    def fire_backward(node: Neurons, flow: Array | None) -> Array | None:
        return None if flow is None else np.asarray(flow * tape.slopes[node.name])

    return run_backward(network, tape.values, gradient, fire_backward, tape.kept)


def rates(network: Network, x: Any, sigma: float | None = None) -> Array:
    """Output of the network of rates, as `forward` gives that of ReLUs.

    Parameters
    ----------
    network : Network
    x : (C, H, W) or (N, C, H, W) array, or a mapping of such by Input
    sigma : float, optional
        Of SoftLIF; by default the rates of the neurons themselves, which spikes come to as the steps go on.
    """
    check_rates(network)

    def respond(node: Neurons, current: Array) -> Array:
        return lif_rate(_model(node), current) if sigma is None else softlif(_model(node), current, sigma)[0]

    output, _ = forward_with(network, x, (), respond)
    return np.asarray(output)


def check_rates(network: Network) -> None:
    """InputError where neurons of a network have no rate, or it cannot be trained."""
    refuse_untrainable(network)
    for node in network.neurons:
        _model(node)


def _model(node: Neurons) -> InterpolatedLeakyIntegrateAndFire:
    if not isinstance(node.model, InterpolatedLeakyIntegrateAndFire):
        raise InputError(
            f"SoftLIF is the rate of InterpolatedLeakyIntegrateAndFire neurons ({node.name!r} has "
            f"{type(node.model).__name__}); build the network with that model"
        )
    return node.model


def filtered(readout: Mapping[str, Array] | Array, tau: float, dt: float) -> Any:
    """What a low-pass filter of a time constant makes of a readout.

    Parameters
    ----------
    readout : (T, ...) or (N, T, O, H, W) array
        `Result.readout`: the sum of the current after each step; the axis before the last three are steps.
    tau : float
        Time constant in seconds, 0 for no filter.
    dt : float
        A step in seconds.

    Returns
    -------
    array without the axis of steps
        y after the last step, y <- y + (1 - exp(-dt / tau)) (current - y), from 0 on.
    """
    currents = np.diff(np.asarray(readout, np.float64), axis=-4, prepend=0)
    steps = currents.shape[-4]
    if not tau:
        return currents[..., -1, :, :, :]
    left = np.exp(-dt / tau)
    weights = (1 - left) * left ** np.arange(steps - 1, -1, -1)
    return np.tensordot(currents, weights, axes=([currents.ndim - 4], [0]))
