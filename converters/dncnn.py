"""DnCNN (Zhang et al., arXiv 1608.03981): convolutions that keep the picture's size, a ReLU behind all but the last.

Its implementations number the modules of one chain, ReLUs included: KAIR `model.0`, `model.2` ... with batch norms
folded or absent; with batch norms `model.0`, `model.2` (convolution), `model.3` (batch norm), `model.5` ..., as in
DnCNN-PyTorch, which calls them `dncnn.0` and so on. What stands before the numbers is taken off (`key_names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import StateDictError, first_few
from spikeunet.engine.graph import Input, Network, Neurons, Node, Output
from spikeunet.engine.layers import Conv2d

from .batch_norm import PARAMETERS, STATISTICS, fold_batch_norm
from .state_dict import StateDict, check_keys

NAME = "dncnn"
_KEY = re.compile(r"(\d{1,4})\.(\w+)")
_WITHOUT_NORM = 2
_WITH_NORM = 3
"""Numbers from a convolution to the next: itself, its batch norm if it has one, and the ReLU."""


def build_dncnn(state: StateDict, batch_norm_epsilon: float) -> Network:
    """The network that a state dict describes, not normalised, with default neurons.

    Parameters
    ----------
    state : dict of str to array
        Keys N.weight and N.bias of convolutions with odd kernels, as many channels out as in; a layer without a bias
        gets zeros. Batch norms behind convolutions are folded first.
    batch_norm_epsilon : float

    Returns
    -------
    Network
        Layers conv1, conv2 ... with relu1, relu2 ...; its metadata say under "conversion" what was assumed.

    Raises
    ------
    StateDictError
        If keys are missing, unexpected or misshapen, or modules stand between the convolutions that are none of these.
    """
    chain = _chain(state)
    check_keys(NAME, state, _expected(state, chain), _misshapen(state, chain))
    facts: dict[str, Any] = {"dilation": 1}
    norms = [number for number in chain.values() if number is not None]
    if norms:
        facts |= {"batch_norms": len(norms), "batch_norm_epsilon": float(batch_norm_epsilon)}
    layers = [f"conv{index}" for index in range(1, len(chain) + 1)]
    folded = fold_batch_norm(_renamed(state, chain), layers, batch_norm_epsilon)
    zeros = {layer: _zeros(folded, layer) for layer in layers if f"{layer}.bias" not in folded}
    if zeros:
        facts["zero_biases"] = list(zeros)
    folded |= {f"{layer}.bias": zero for layer, zero in zeros.items()}
    return Network(_nodes(folded, layers), {"conversion": facts})


def _chain(state: Mapping[str, Any]) -> dict[int, int | None]:
    """Numbers of the convolutions in order, each with that of its batch norm, as far as they follow the pattern."""
    numbers = {int(match[1]) for key in state if (match := _KEY.fullmatch(key))}
    norms = {number for number in numbers if f"{number}.running_mean" in state or f"{number}.running_var" in state}
    chain: dict[int, int | None] = {}
    number = 0
    while number in numbers and number not in norms:
        norm = number + 1 if number + 1 in norms else None
        chain[number] = norm
        number += _WITHOUT_NORM if norm is None else _WITH_NORM
    left = sorted(numbers - chain.keys() - set(chain.values()))
    if chain and left:
        raise StateDictError(
            f"the state dict is no chain of convolutions, each with a ReLU and perhaps a batch norm: {first_few(left)} "
            "has no place in it; build its Network yourself (docs/converting.md)"
        )
    return chain


def _expected(state: StateDict, chain: Mapping[int, int | None]) -> set[str]:
    """Keys of the chain's arrays: weights, and of biases and batch norms what is there."""
    norms = [number for number in chain.values() if number is not None]
    optional = {f"{number}.{part}" for number in (*chain, *norms) for part in PARAMETERS}
    optional |= {f"{number}.{part}" for number in norms for part in STATISTICS}
    required = {f"{number}.weight" for number in chain} if len(chain) > 1 else {"0.weight", "2.weight"}
    return required | (optional & state.keys())


def _misshapen(state: StateDict, chain: Iterable[int]) -> dict[str, str]:
    """What is wrong with the shapes of the arrays that are there, up to the first weight that is."""
    faults: dict[str, str] = {}
    channels: list[int] = []
    for number in chain:
        weight, bias = state.get(f"{number}.weight"), state.get(f"{number}.bias")
        fault = _weight_fault(weight, channels)
        if weight is None or fault:
            return {**faults, f"{number}.weight": fault} if fault else faults
        channels = [channels[0] if channels else weight.shape[1], weight.shape[0]]
        if bias is not None and bias.shape != (len(weight),):
            faults[f"{number}.bias"] = f"expected ({len(weight)},), got {bias.shape}"
        last = f"{number}.weight"
    if channels and channels[0] != channels[1]:
        faults[last] = f"puts out {channels[1]} channels where {channels[0]} come in"
    return faults


def _weight_fault(weight: NDArray[Any] | None, channels: list[int]) -> str:
    """What is wrong with the shape of a weight, given the channels that come into the chain and to this layer."""
    if weight is None:
        return ""
    fits = weight.ndim == 4 and weight.size > 0 and all(size % 2 for size in weight.shape[2:])
    if fits and (not channels or weight.shape[1] == channels[1]):
        return ""
    return f"expected (out, {channels[1] if channels else 'in'}, odd, odd), got {weight.shape}"


def _renamed(state: StateDict, chain: Mapping[int, int | None]) -> StateDict:
    """Arrays by the names of layers: conv1, bn1 ..."""
    names: dict[int, str] = {}
    for index, (number, norm) in enumerate(chain.items(), 1):
        names[number] = f"conv{index}"
        if norm is not None:
            names[norm] = f"bn{index}"
    parts = ((key, *key.split(".")) for key in state)
    return {f"{names[int(number)]}.{part}": state[key] for key, number, part in parts}


def _zeros(state: StateDict, layer: str) -> NDArray[np.float32]:
    return np.zeros(len(state[f"{layer}.weight"]), np.float32)


def _nodes(state: StateDict, layers: list[str]) -> list[Node]:
    nodes: list[Node] = [Input("input", int(state["conv1.weight"].shape[1]))]
    source = "input"
    for index, layer in enumerate(layers, 1):
        weight = state[f"{layer}.weight"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        nodes.append(Conv2d(layer, source, weight, state[f"{layer}.bias"], padding=padding))
        source = layer
        if index < len(layers):
            nodes.append(Neurons(f"relu{index}", layer))
            source = f"relu{index}"
    return [*nodes, Output("output", source)]
