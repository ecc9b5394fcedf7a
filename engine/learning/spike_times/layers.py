"""What a network in continuous time consists of, whence it comes, and its file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ...arrays import as_array
from ...errors import InputError, ModelFileError
from ...files.archive import read_arrays
from ...files.atomic import atomic_write
from ...files.json_text import format_json, parse_json
from ...graph import Input, Network, Neurons, Node, Output, Weighted
from ...neurons import IntegrateAndFire

Times = NDArray[np.float64]

_FORMAT = "spikeunet spike times 1"
_REMEDY = "make it anew with `spikeunet train spike-times`"


@dataclass(frozen=True, eq=False)
class TimesNetwork:
    """Full connections, each followed by neurons that spike once.

    Parameters
    ----------
    weights : tuple of (J, I) float64
        By target and source; each layer has as many sources as the layer before has targets.
    biases : tuple of (J,) float64, optional
        Weights of a source that spikes at 0; none by default.
    thresholds : tuple of float, optional
        Above 0; 1 by default.
    facts : dict
        JSON values that the file keeps.

    Raises
    ------
    InputError
        If shapes do not fit each other or values are out of range.
    """

    weights: tuple[Times, ...]
    biases: tuple[Times, ...] = ()
    thresholds: tuple[float, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.facts, dict):
            raise InputError(f"facts must be a dict (got {type(self.facts).__name__})")
        if not self.weights:
            raise InputError("a network in continuous time has at least one layer (got none)")
        weights = tuple(_checked(each, f"weights[{index}]", 2) for index, each in enumerate(self.weights))
        for index in range(1, len(weights)):
            if weights[index].shape[1] != len(weights[index - 1]):
                raise InputError(
                    f"weights[{index}] takes {weights[index].shape[1]} sources, the layer before has "
                    f"{len(weights[index - 1])} neurons"
                )
        biases = self.biases or tuple(np.zeros(len(each)) for each in weights)
        thresholds = self.thresholds or (1.0,) * len(weights)
        if len(biases) != len(weights) or len(thresholds) != len(weights):
            raise InputError(
                f"{len(weights)} layers need as many biases and thresholds (got {len(biases)} and {len(thresholds)})"
            )
        biases = tuple(_checked(each, f"biases[{index}]", 1) for index, each in enumerate(biases))
        for index, (weight, bias, threshold) in enumerate(zip(weights, biases, thresholds, strict=True)):
            if len(bias) != len(weight):
                raise InputError(f"biases[{index}] must have {len(weight)} values (got {len(bias)})")
            if not (np.isfinite(threshold) and threshold > 0):
                raise InputError(f"thresholds[{index}] must be a number above 0 (got {threshold!r})")
        for name, value in (("weights", weights), ("biases", biases), ("thresholds", tuple(map(float, thresholds)))):
            object.__setattr__(self, name, value)

    @property
    def sources(self) -> int:
        """Inputs of the first layer."""
        return int(self.weights[0].shape[1])


def times_network(network: TimesNetwork | Network | Sequence[Weighted | NDArray[Any]]) -> TimesNetwork:
    """A network in continuous time, of what others describe.

    Parameters
    ----------
    network : TimesNetwork, Network, or sequence of Linear or of (J, I) array
        A Network must be a chain of Linear, each followed by IntegrateAndFire neurons, whose thresholds count, or by
        the Output, which then is read by neurons of threshold 1. Their initial potentials must be 0. Biases become the
        weights of a source that spikes at 0. The features of a Linear are in the order (channel, row, column).

    Raises
    ------
    InputError
        If it has other nodes.
    """
    if isinstance(network, TimesNetwork):
        return network
    if isinstance(network, Network):
        return _of_graph(network)
    layers = tuple(network)
    weights = tuple(np.asarray(getattr(each, "weight", each), np.float64) for each in layers)
    biases = tuple(getattr(each, "bias", np.zeros(len(weight))) for each, weight in zip(layers, weights, strict=True))
    return TimesNetwork(weights, tuple(np.asarray(each, np.float64) for each in biases))


def save_times_network(network: TimesNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network into an NPZ file, completely or not at all."""
    arrays: dict[str, Any] = {
        "format": np.array(_FORMAT),
        "facts": np.array(format_json(network.facts)),
        "thresholds": np.array(network.thresholds),
    }
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays |= {f"weights{index}": weight, f"biases{index}": bias}
    with atomic_write(path) as stream:
        np.savez(stream, **arrays)


def load_times_network(path: str | os.PathLike[str]) -> TimesNetwork:
    """Read what `save_times_network` wrote; ModelFileError where that cannot be done."""
    arrays = read_arrays(path, ModelFileError, _REMEDY)
    if str(arrays.get("format", "")) != _FORMAT:
        raise ModelFileError(f"{path}: holds no network of spike times; {_REMEDY}")
    try:
        thresholds = arrays["thresholds"].tolist()
        weights, biases = (
            tuple(arrays[f"{name}{i}"] for i in range(len(thresholds))) for name in ("weights", "biases")
        )
        return TimesNetwork(weights, biases, tuple(thresholds), parse_json(str(arrays["facts"])))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ModelFileError(f"{path}: is damaged ({error}); {_REMEDY}") from None


def _is_full(node: object) -> TypeGuard[Weighted]:
    """Whether a node is a full connection: its weights have two axes."""
    return isinstance(node, Weighted) and node.weight.ndim == 2


def _of_graph(network: Network) -> TimesNetwork:
    weights, biases, thresholds = list[Any](), list[Any](), list[float]()
    last: Node = network.input
    if network.input.encoder is not None:
        raise InputError("times are given as such; take an Input without an encoder")
    for node in network.nodes[1:]:
        if node.sources != (last.name,):
            raise InputError(
                f"simulate_times runs chains of Linear and neurons; {node.name!r} does not read {last.name!r}"
            )
        if _is_full(node) and isinstance(last, (Input, Neurons)):
            weights.append(node.weight)
            biases.append(node.bias)
        elif isinstance(node, Neurons) and _is_full(last):
            thresholds.append(_threshold(node))
        elif isinstance(node, Output) and (isinstance(last, Neurons) or _is_full(last)):
            thresholds += [1.0] * (len(weights) - len(thresholds))
        else:
            raise InputError(
                f"simulate_times runs chains of Linear and neurons; {node.name!r} is {type(node).__name__}"
            )
        last = node
    return TimesNetwork(tuple(weights), tuple(biases), tuple(thresholds), dict(network.metadata))


def _threshold(node: Neurons) -> float:
    model = node.model
    if type(model) is not IntegrateAndFire or model.initial != 0 or np.ndim(model.threshold):
        raise InputError(
            f"neurons {node.name!r} must be IntegrateAndFire with one threshold and initial potential 0 (got {model!r})"
        )
    return float(model.threshold)


def _checked(values: Any, name: str, axes: int) -> Times:
    array = as_array(values, name)
    if array.ndim != axes or not array.size or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers of {axes} axes (got {array.dtype} of shape {array.shape})")
    return np.ascontiguousarray(array, np.float64)
