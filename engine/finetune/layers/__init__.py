"""What synapses compute on channels-last batches, and the gradients of it: one file for each kind of node."""

from __future__ import annotations

from ...graph import AvgPool2d, Conv2d, ConvTranspose2d, Linear, Synapses
from . import convolution, linear, pooling, transposed_convolution
from .correlation import Kept
from .joining import Array, Value, joined, split

__all__ = ["Array", "Kept", "Value", "WeightedSynapses", "current", "gradients", "joined", "split"]

WeightedSynapses = Conv2d | ConvTranspose2d | Linear


def current(node: Synapses, value: Value, kept: Kept | None = None) -> Array:
    """Current (M, H', W', O) of a node for `value`, parts (M, H, W, C_part); bias included.

    A dictionary `kept` receives what `gradients` can use again.
    """
    if isinstance(node, Conv2d):
        return convolution.current(node, value, kept)
    if isinstance(node, ConvTranspose2d):
        return transposed_convolution.current(node, value, kept)
    if isinstance(node, Linear):
        return linear.current(node, value)
    assert isinstance(node, AvgPool2d)
    return pooling.current(node, value)


def gradients(
    node: Synapses, value: Value, gradient: Array, into_input: bool = True, kept: Kept | None = None
) -> tuple[Array | None, dict[str, Array]]:
    """Gradient of the input (M, H, W, C), or None where it is not wanted, and of "weight" and "bias" where there are.

    Parameters
    ----------
    node : Synapses
    value : tuple of (M, H, W, C_part)
        What the node read.
    gradient : (M, H', W', O)
        Gradient of its current.
    into_input : bool
        Whether the gradient of the input is wanted.
    kept : dict, optional
        What `current` kept of the same `value`.
    """
    if isinstance(node, AvgPool2d):
        return pooling.gradients(node, value, gradient, into_input), {}
    if isinstance(node, Conv2d):
        into, weight, bias = convolution.gradients(node, value, gradient, into_input, kept)
    elif isinstance(node, ConvTranspose2d):
        into, weight, bias = transposed_convolution.gradients(node, value, gradient, into_input, kept)
    else:
        assert isinstance(node, Linear)
        into, weight, bias = linear.gradients(node, value, gradient, into_input)
    return into, {"weight": weight, "bias": bias}
