"""Neuron models as the command line names them: the package's own by short names, registered ones by their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InputError, first_few

if TYPE_CHECKING:
    from ..graph import Network
    from ..neurons import NeuronModel, Registration

OPTIONS = {
    "multi-threshold": (),
    "signed-multi-threshold": (),
    "if": ("reset",),
    "lif": ("decay", "reset"),
    "burst": ("gamma",),
    "refractory-lif": ("decay", "period", "reset"),
}
"""Options of each kind of neuron that has a short name, besides the thresholds and the initial potential."""

PARAMETERS = ("neuron", "thresholds", "initial", "reset", "decay", "gamma", "period", "parameters")
"""Of `spikeunet convert`, those that say which neurons a network gets."""


def neuron_model(
    kind: str, thresholds: str | None, initial: float | None, parameters: Sequence[str] = (), **options: Any
) -> NeuronModel:
    """The neuron model that the options describe.

    Parameters
    ----------
    kind : str
        A key of OPTIONS, or the name of a registered model, for which installed plug-ins are asked.
    thresholds, initial
        Of --thresholds and --initial, None where they are not given.
    parameters : sequence of str
        "NAME=VALUE" for each parameter of a registered model that is to differ from its default.
    options
        Of the models with a short name, None where they are not given.

    Raises
    ------
    SpikeunetError
        If there is no such model, or the options do not fit it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if kind not in OPTIONS:
        return _registered(kind, thresholds, initial, parameters, given)
    if parameters:
        raise InputError(
            f"--parameter {parameters[0]} is for registered neuron models (got --neuron {kind}, which has options of "
            "its own)"
        )
    for name, value in given.items():
        if name not in OPTIONS[kind]:
            owners = " and ".join(owner for owner, names in OPTIONS.items() if name in names)
            raise InputError(f"--{name} {value} is for --neuron {owners} (got --neuron {kind})")
    return _named_shortly(kind, thresholds, initial, given)


def _named_shortly(kind: str, thresholds: str | None, initial: float | None, given: dict[str, Any]) -> NeuronModel:
    from .. import neurons

    ladder = None if thresholds is None else numbers("--thresholds", thresholds, ",")
    rounding: dict[str, Callable[..., Any]] = {
        "multi-threshold": neurons.MultiThreshold.rounding,
        "signed-multi-threshold": neurons.SignedMultiThreshold.rounding,
    }
    if kind in rounding:
        model: NeuronModel = rounding[kind]() if ladder is None else rounding[kind](ladder)
        return model if initial is None else replace(model, initial=initial)  # type: ignore[type-var]
    if ladder is not None and len(ladder) != 1:
        raise InputError(f"--neuron {kind} has one threshold (got {thresholds}); use --neuron multi-threshold")
    models: dict[str, Callable[..., NeuronModel]] = {
        "if": neurons.IntegrateAndFire,
        "lif": neurons.LeakyIntegrateAndFire,
        "burst": neurons.BurstNeuron,
        "refractory-lif": neurons.RefractoryLeakyIntegrateAndFire,
    }
    return models[kind](threshold=1.0 if ladder is None else ladder[0], initial=initial or 0.0, **given)


def _registered(
    name: str, thresholds: str | None, initial: float | None, parameters: Sequence[str], given: dict[str, Any]
) -> NeuronModel:
    from ..files.neuron_models import decode_neuron, encode_neuron

    registration = _registration(name)
    foreign = {"thresholds": thresholds, **given}
    for option, value in foreign.items():
        if value is not None:
            raise InputError(
                f"--{option} {value} is not for --neuron {name}; give its own parameters, --parameter NAME=VALUE for "
                f"any of {_parameters(registration)}"
            )
    values = dict(encode_neuron(registration.model()))
    values |= {} if initial is None else {"initial": initial}
    return decode_neuron(values | dict(_assignment(registration, text) for text in parameters))


def _registration(name: str) -> Registration:
    """The registration of a name; InputError with all that are known, plug-ins included, where there is none."""
    from ..neurons import find_registered, import_plug_ins, registered_names

    found = find_registered(name)
    if found is None:
        known = first_few((*OPTIONS, *registered_names()), 40)
        advice = "one of your own is made known by an entry point of an installed package (docs/neurons.md)"
        reasons = (f"unknown neuron model {name!r}; known are {known}", *import_plug_ins(), advice)
        raise InputError("; ".join(reasons))
    return found


def _parameters(registration: Registration) -> str:
    return first_few(field.name for field in fields(registration.model) if field.init)


def _assignment(registration: Registration, text: str) -> tuple[str, Any]:
    """Name and value of "NAME=VALUE"; a list is written 1,2,3."""
    name, sign, value = text.partition("=")
    if not sign or name not in {field.name for field in fields(registration.model) if field.init}:
        raise InputError(
            f"--parameter must be NAME=VALUE, NAME a parameter of {registration.name}: {_parameters(registration)} "
            f"(got {text!r:.80})"
        )
    return name, _value(value, isinstance(getattr(registration.model(), name), tuple | list))


def _value(text: str, several: bool) -> Any:
    """A number, true, false or a word, or a list of them."""
    if several:
        return [_value(part, False) for part in text.strip("[]()").split(",") if part.strip()]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, (int, float)) else text


def numbers(option: str, text: str, separator: str) -> tuple[float, ...]:
    """Finite numbers from a text with separators; InputError where there is something else."""
    try:
        numbers = tuple(float(part) for part in text.split(separator))
    except ValueError:
        raise InputError(f"{option} must be numbers with {separator!r} between them (got {text!r})") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{option} must be finite numbers (got {text!r})")
    return numbers


def trained_neurons(network: Network, *, tune: bool) -> str | None:
    """The neurons that a network was trained with, where no option names others; InputError where they are tuned."""
    found = network.metadata["conversion"].get("trained_neurons")
    if found is not None and tune:
        raise InputError("--tune has no meaning for a network that was trained with its neurons; leave it out")
    source = click.get_current_context().get_parameter_source
    named = any(source(name) is ParameterSource.COMMANDLINE for name in PARAMETERS)
    return None if named else found
