"""The Spiking-UNet of Li et al., arXiv 2307.10974, with the names of its reference implementation.

Four levels of two convolutions and an average pooling, two convolutions at the bottom, then four times a transposed
convolution, a concatenation (skip first, upsampled second) and two convolutions, and conv19, which has no neuron.
Widths, kernel sizes and the number of channels in and out come from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.graph import Input, Network, Neurons, Node, Output
from spikeunet.engine.layers import AvgPool2d, Concat, Conv2d, ConvTranspose2d

from .batch_norm import batch_norm_name, fold_batch_norm
from .state_dict import StateDict, check_keys

DEPTH = 4
"""Number of poolings, of transposed convolutions and of skips."""

CONVOLUTIONS = tuple(f"conv{number}" for number in range(1, 4 * DEPTH + 4))
TRANSPOSED = tuple(f"convtranspose{number}" for number in range(1, DEPTH + 1))
LAYERS = (*CONVOLUTIONS, *TRANSPOSED)


def layer_sources() -> dict[str, tuple[str, ...]]:
    """For each layer but conv1, the layers whose channels it reads, in order; in topological order."""
    sources: dict[str, tuple[str, ...]] = {}
    last, number, skips = "conv1", 2, ["conv2"]
    for level in range(DEPTH + 1):
        for _ in range(1 if level == 0 else 2):
            sources[f"conv{number}"] = (last,)
            last, number = f"conv{number}", number + 1
        skips.append(last)
    skips = skips[1 : DEPTH + 1]
    for transposed in TRANSPOSED:
        sources[transposed] = (last,)
        sources[f"conv{number}"] = (skips.pop(), transposed)
        sources[f"conv{number + 1}"] = (f"conv{number}",)
        last, number = f"conv{number + 1}", number + 2
    sources[f"conv{number}"] = (last,)
    return sources


def build_spiking_unet(state: StateDict, batch_norm_epsilon: float) -> Network:
    """The network that a state dict describes, not normalised, with default neurons.

    Parameters
    ----------
    state : dict of str to array
        Keys conv1 ... conv19 and convtranspose1 ... 4, each with .weight in PyTorch's layout and .bias, which is 0
        where it is not there; batch norms as in `batch_norm` are folded first. Convolutions have odd kernels and keep
        the picture's size; transposed convolutions are 3x3 with stride 2, padding 1 and output padding 1.
    batch_norm_epsilon : float

    Returns
    -------
    Network
        Its metadata say under "conversion" what the state dict does not: the kind of pooling, the order of
        concatenation, the epsilon of its batch norms and which layers have no bias, where there are any.

    Raises
    ------
    StateDictError
        If keys are missing, unexpected or misshapen.
    """
    norms = sum(f"{batch_norm_name(layer)}.running_var" in state for layer in LAYERS)
    state = fold_batch_norm(state, LAYERS, batch_norm_epsilon)
    zeros = _zero_biases(state)
    state |= zeros
    required = [f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")]
    check_keys("spiking-unet", state, required, _misshapen(state))
    facts: dict[str, Any] = {"pooling": "average", "concatenation": "skip first"}
    if norms:
        facts |= {"batch_norms": norms, "batch_norm_epsilon": float(batch_norm_epsilon)}
    if zeros:
        facts["zero_biases"] = [key.removesuffix(".bias") for key in zeros]
    return Network(_Nodes(state).build(), {"conversion": facts})


def _zero_biases(state: StateDict) -> StateDict:
    """Biases of the layers that have a weight and none."""
    weights = {layer: state.get(f"{layer}.weight") for layer in LAYERS if f"{layer}.bias" not in state}
    return {
        f"{layer}.bias": np.zeros(weight.shape[layer in TRANSPOSED], np.float32)
        for layer, weight in weights.items()
        if weight is not None and weight.ndim == 4
    }


def _misshapen(state: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """What is wrong with the shapes of the arrays that are there."""
    sources = layer_sources()
    widths: dict[str, int | None] = {}
    faults: dict[str, str] = {}
    for layer in ("conv1", *sources):
        weight = state.get(f"{layer}.weight")
        known = [widths[source] for source in sources.get(layer, ())]
        incoming = None if not known or None in known else sum(width for width in known if width is not None)
        fault = _weight_fault(layer, weight, incoming)
        if fault:
            faults[f"{layer}.weight"] = fault
        usable = weight is not None and weight.ndim == 4
        widths[layer] = int(weight.shape[layer in TRANSPOSED]) if usable and weight is not None else None
        bias = state.get(f"{layer}.bias")
        if bias is not None and widths[layer] is not None and bias.shape != (widths[layer],):
            faults[f"{layer}.bias"] = f"expected ({widths[layer]},), got {bias.shape}"
    return faults


def _weight_fault(layer: str, weight: NDArray[Any] | None, incoming: int | None) -> str:
    if weight is None:
        return ""
    count = "in" if incoming is None else str(incoming)
    kernel = "3, 3" if layer in TRANSPOSED else "odd, odd"
    expected = f"({count}, out, {kernel})" if layer in TRANSPOSED else f"(out, {count}, {kernel})"
    fits = weight.ndim == 4 and weight.size > 0
    if fits:
        fits = incoming is None or weight.shape[layer not in TRANSPOSED] == incoming
        sizes = weight.shape[2:]
        fits &= sizes == (3, 3) if layer in TRANSPOSED else all(size % 2 for size in sizes)
    return "" if fits else f"expected {expected}, got {weight.shape}"


class _Nodes:
    """Builds the nodes one after the other; each method returns the name of what it added last."""

    def __init__(self, state: StateDict) -> None:
        self.state = state
        self.nodes: list[Node] = [Input("input", int(state["conv1.weight"].shape[1]))]

    def build(self) -> list[Node]:
        source, skips = "input", []
        for level in range(DEPTH):
            source = self.add_pair(2 * level + 1, source)
            skips.append(source)
            source = self.add_pooling(level + 1, source)
        source = self.add_pair(2 * DEPTH + 1, source)
        for level in range(DEPTH):
            upsampled = self.add_transposed(f"convtranspose{level + 1}", source)
            self.nodes.append(Concat(f"concat{level + 1}", (skips.pop(), upsampled)))
            source = self.add_pair(2 * DEPTH + 3 + 2 * level, f"concat{level + 1}")
        last = CONVOLUTIONS[-1]
        self.add_convolution(last, source)
        self.nodes.append(Output("output", last))
        return self.nodes

    def add_pair(self, number: int, source: str) -> str:
        for index in (number, number + 1):
            self.add_convolution(f"conv{index}", source)
            source = self.add_neurons(f"relu{index}", f"conv{index}")
        return source

    def add_convolution(self, name: str, source: str) -> None:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        self.nodes.append(Conv2d(name, source, weight, bias, padding=padding))

    def add_transposed(self, name: str, source: str) -> str:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        self.nodes.append(
            ConvTranspose2d(name, source, weight, bias, stride=(2, 2), padding=(1, 1), output_padding=(1, 1))
        )
        # The reference implementation's own spelling.
        return self.add_neurons(name.replace("convtranspose", "relu_convtranpose"), name)

    def add_pooling(self, number: int, source: str) -> str:
        self.nodes.append(AvgPool2d(f"average_pool{number}", source, (2, 2)))
        return self.add_neurons(f"pooling{number}", f"average_pool{number}")

    def add_neurons(self, name: str, source: str) -> str:
        self.nodes.append(Neurons(name, source))
        return name
