"""Neurons of NIR as the engine's, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.errors import InputError, SpikeunetError
from spikeunet.engine.files.json_text import parse_json
from spikeunet.engine.files.neuron_models import decode_neuron
from spikeunet.engine.graph import Shape
from spikeunet.engine.neurons import (
    CurrentBasedLeakyIntegrateAndFire,
    Heterogeneous,
    IntegrateAndFire,
    Integrator,
    Lapicque,
    LeakyIntegrator,
    NeuronModel,
    PerfectIntegrateAndFire,
)
from spikeunet.engine.neurons.time_constants import INTEGRATIONS

from .graph import NirNode

ENTRY = "spikeunet"
"""Name of the metadata that say, as JSON, what NIR has no field for."""

KINDS: Mapping[str, tuple[type, dict[str, str]]] = {
    "CubaLIF": (
        CurrentBasedLeakyIntegrateAndFire,
        {"tau_syn": "tau_syn", "tau_mem": "tau_mem", "r": "r", "v_leak": "v_leak", "v_threshold": "threshold",
         "w_in": "w_in"},
    ),
    "LIF": (Lapicque, {"tau": "tau_mem", "r": "r", "v_leak": "v_leak", "v_threshold": "threshold"}),
    "LI": (LeakyIntegrator, {"tau": "tau_mem", "r": "r", "v_leak": "v_leak"}),
    "I": (Integrator, {"r": "r"}),
    "IF": (PerfectIntegrateAndFire, {"r": "r", "v_threshold": "threshold"}),
}  # fmt: skip
"""By kind of NIR, the engine's model, and its field for each of NIR's."""

SILENT = ("I", "LI")


@dataclass(frozen=True)
class Discretisation:
    """How neurons in seconds are run step by step, which a NIR file does not say.

    Parameters
    ----------
    dt : float or None
        A step in seconds.
    integration : "exponential" or "euler"
    reset : "subtract" or "zero"
    """

    dt: float | None = None
    integration: str = "exponential"
    reset: str = "subtract"

    def __post_init__(self) -> None:
        if self.integration not in INTEGRATIONS:
            raise InputError(f"integration must be one of {', '.join(INTEGRATIONS)} (got {self.integration!r})")
        if self.reset not in ("subtract", "zero"):
            raise InputError(f"reset must be subtract or zero (got {self.reset!r})")
        check_dt(self.dt)


def check_dt(dt: Any) -> None:
    """InputError where dt is neither None nor a length of a step."""
    number = isinstance(dt, (int, float)) and not isinstance(dt, bool)
    if dt is not None and (not number or not 0 < dt < 1e6):
        raise InputError(f"dt must be a positive number of seconds (got {dt!r})")


def neuron_model(node: NirNode, shape: Shape, how: Discretisation) -> NeuronModel:
    """The model of a population of the shape (C, H, W)."""
    try:
        said = _said(node)
        if "type" in said:
            return decode_neuron(said)
        if node.kind == "Threshold":
            # All that a step leaves is gone in the next one.
            base: Any = Lapicque(1.0, dt=1.0, integration="euler", strict=True)
            return _with_values(base, {"threshold": _values(node, "threshold", shape)})
        return _from_fields(node, shape, how, said)
    except SpikeunetError as error:
        raise node.refuse(f"makes no neurons: {error}") from None


def _from_fields(node: NirNode, shape: Shape, how: Discretisation, said: Mapping[str, Any]) -> NeuronModel:
    kind, names = KINDS[node.kind]
    known = {each.name for each in fields(kind)}
    options: dict[str, Any] = {"integration": how.integration, "reset": how.reset, "strict": True}
    if "dt" in known:
        if how.dt is None and "dt" not in said:
            raise node.refuse("has time constants in seconds; say how long a step is (--dt, dt=)")
        options["dt"] = how.dt
    options |= {name: value for name, value in said.items() if name not in names.values()}
    if how.dt is not None:
        options["dt"] = how.dt
    values = {own: _values(node, name, shape) for name, own in names.items() if name in node.fields}
    if kind is PerfectIntegrateAndFire and all(np.array_equal(value, 1.0) for value in values.values()):
        kind, values = IntegrateAndFire, {}  # the same, in vector instructions
    # Time constants may be shorter than a default step: all come together.
    known = {each.name for each in fields(kind)}
    alike = {name: value for name, value in values.items() if isinstance(value, float)}
    first = {name: float(value.reshape(-1)[0]) for name, value in values.items() if not isinstance(value, float)}
    base = kind(**{name: value for name, value in options.items() if name in known}, **alike, **first)
    return _with_values(base, {name: value for name, value in values.items() if name in first})


def _with_values(base: Any, values: Mapping[str, float | NDArray[Any]]) -> NeuronModel:
    model: NeuronModel = replace(base, **{name: value for name, value in values.items() if isinstance(value, float)})
    arrays = {name: value for name, value in values.items() if not isinstance(value, float)}
    return Heterogeneous(model, arrays) if arrays else model


def _values(node: NirNode, name: str, shape: Shape) -> float | NDArray[np.float64]:
    """A field as one number, or as (C,) or (C, H, W) where it differs."""
    values = node.array(name)
    if values.size != 1 and values.size != np.prod(shape):
        raise node.refuse(
            f"has a {name} of the shape {values.shape}, but takes {shape[0]}x{shape[1]}x{shape[2]} values"
        )
    if (values == values.reshape(-1)[0]).all():
        return float(values.reshape(-1)[0])
    by_channel = values.reshape(shape[0], -1)
    return by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else values.reshape(shape)


def _said(node: NirNode) -> dict[str, Any]:
    """What the metadata say of a population; only of the engine's own fields and registered models."""
    metadata = node.fields.get("metadata", {})
    text = metadata.get(ENTRY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return {}
    try:
        found = parse_json(text.encode())
    except ValueError as error:
        raise node.refuse(f"has metadata {ENTRY!r} that are broken JSON ({error}); leave them out") from None
    kind = KINDS[node.kind][0] if node.kind in KINDS else Lapicque
    known = {each.name for each in fields(kind)}
    if not isinstance(found, dict) or ("type" not in found and not found.keys() <= known):
        raise node.refuse(f"has metadata {ENTRY!r} of other fields than {', '.join(sorted(known))}; leave them out")
    return found


# --- Writing ---------------------------------------------------------------------------------------------------------


def nir_fields(model: NeuronModel, shape: tuple[int, ...]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """Kind, fields and what the metadata must say of a model; None where NIR has no such neuron.

    Arrays have the shape of the population, (C, H, W) or (C,).
    """
    each: Any = model.model if isinstance(model, Heterogeneous) else model
    arrays = dict(model.parameters) if isinstance(model, Heterogeneous) else {}
    if isinstance(each, IntegrateAndFire):
        if each.threshold != 1:
            return None
        whole = {"r": np.ones(shape, np.float32), "v_threshold": np.ones(shape, np.float32)}
        return "IF", whole, {"reset": each.reset, "strict": each.strict, "initial": each.initial}
    found = next(((kind, names) for kind, (own, names) in KINDS.items() if own is type(each)), None)
    if found is None or not arrays.keys() <= set(found[1].values()):
        return None
    kind, names = found
    values = {}
    for name, own in names.items():
        value = np.asarray(arrays.get(own, getattr(each, own)), np.float64)
        values[name] = np.broadcast_to(
            value.reshape(*value.shape, *[1] * (len(shape) - value.ndim)) if value.ndim else value, shape
        ).copy()
    said = {each_field.name: getattr(each, each_field.name) for each_field in fields(each)}
    return kind, values, {name: value for name, value in said.items() if name not in names.values()}


def metadata_of(said: Mapping[str, Any]) -> dict[str, str]:
    """What a node's metadata hold."""
    return {ENTRY: json.dumps(dict(said))}
