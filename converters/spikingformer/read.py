"""Read a Spikingformer; see the folder's `__init__` for what becomes of it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikeunet.engine.errors import GraphError, InputError, NeuronError, StateDictError
from spikeunet.engine.graph import FILE_WEIGHTS, Network
from spikeunet.engine.neurons import LeakyIntegrateAndFire

from ..batch_norm import EPSILON
from ..key_names import build_unwrapped
from ..state_dict import StateDict, checked, find_weights
from ..weights import Weights
from .build import Builder
from .keys import NAME, Layout


def read_spikingformer(
    state: str | os.PathLike[str] | Mapping[str, Any] | Weights,
    heads: int,
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    attention_threshold: float = 0.5,
    attention_scale: float = 0.125,
    epsilon: float = EPSILON,
    metadata: Mapping[str, Any] | None = None,
    entry: str | None = None,
) -> Network:
    """The spiking network that a published state dict describes.

    Parameters
    ----------
    state, entry
        As in `read_state_dict`, or what `load_weights` has found.
    heads : int
        Of every attention. No state dict holds it; published are 12 for CIFAR, 8 for ImageNet, 16 for event cameras.
    tau : float
        Of all neurons, at least 1. Published are 2 for pictures and 1.5 for DVS128 Gesture.
    threshold, attention_threshold, attention_scale : float
        Of all neurons; of those behind the attention; what the attention is multiplied by.
    epsilon : float
        The batch norms' epsilon.
    metadata : mapping
        Kept in the network; its task is "classify" and its steps are 4 unless this says otherwise.

    Returns
    -------
    Network
        Its output divided by the number of steps is what the published network puts out.

    Raises
    ------
    StateDictError
        If keys are missing, unexpected or misshapen, or the arrays are of another type or not finite.
    InputError
        If heads do not divide the channels, or a number is none that the neurons can have.
    """
    numbers = {"threshold": threshold, "attention_threshold": attention_threshold, "attention_scale": attention_scale}
    _check_numbers(heads, tau, {**numbers, "epsilon": epsilon})
    model, scale = LeakyIntegrateAndFire(decay=1 - 1 / tau, reset="zero"), attention_scale / (tau * attention_threshold)

    def build(arrays: StateDict) -> Network:
        builder = Builder(_checked_layout(arrays, heads), model, 1 / (tau * threshold), epsilon)
        try:
            nodes = builder.nodes(heads, scale)
            return Network(nodes, {FILE_WEIGHTS: builder.file_weights})
        except (GraphError, NeuronError) as error:
            raise StateDictError(f"the state dict makes a network that is none: {error}") from None

    weights = find_weights(state, entry)
    network, removed = build_unwrapped(checked(weights.arrays), build)
    facts = {"architecture": NAME, "heads": heads, "tau": tau, "batch_norm_epsilon": epsilon, **weights.facts}
    facts["batch_norms"] = sum(key.endswith("running_var") for key in weights.arrays)
    facts |= {"prefixes": removed} if removed else {}
    said = {"task": "classify", "steps": 4, **network.metadata, **(metadata or {})}
    return network.replace(metadata={**said, "conversion": facts})


def _checked_layout(arrays: StateDict, heads: int) -> Layout:
    layout = Layout(arrays)
    layout.check()
    if layout.dim % heads:
        raise InputError(f"heads must divide the {layout.dim} channels of the blocks (got {heads})")
    return layout


def _check_numbers(heads: int, tau: float, positive: Mapping[str, float]) -> None:
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be above 0 (got {value})")
    if not (math.isfinite(tau) and tau >= 1):
        raise InputError(f"tau must be at least 1, or a step would take the potential beyond its input (got {tau})")
    if isinstance(heads, bool) or not isinstance(heads, (int, np.integer)) or heads < 1:
        raise InputError(f"heads must be a whole number from 1 on (got {heads!r})")
