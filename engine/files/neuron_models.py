"""Neuron models as JSON values and back, and the arrays of those whose parameters differ between neurons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError, SpikeunetError
from ..graph import Neurons, Node
from ..neurons import (
    Heterogeneous,
    IntegrateAndFire,
    LadderModel,
    LeakyIntegrateAndFire,
    MultiThreshold,
    NeuronModel,
    Registration,
    check_model,
    find_registered,
    import_plug_ins,
    registered_names,
    registration_of,
)
from .values import Decoder, boolean, decode_fields, decoder_of, number, several, short, text, typed_entry

Arrays = Mapping[str, NDArray[Any]]

_NEURON_FIELDS: dict[type[Any], dict[str, Decoder]] = {
    MultiThreshold: {"thresholds": several(number), "initial": number, "strict": boolean},
    IntegrateAndFire: {"threshold": number, "reset": text, "initial": number, "strict": boolean},
    LeakyIntegrateAndFire: {
        "threshold": number,
        "decay": number,
        "reset": text,
        "initial": number,
        "strict": boolean,
    },
}

_NEURONS = {model.__name__: model for model in _NEURON_FIELDS}

_HETEROGENEOUS = "Heterogeneous"


def encode_neuron(model: NeuronModel) -> dict[str, Any]:
    """A neuron model as JSON values: its fields, and as "type" its class's name or what it is registered as.

    Of one whose parameters are arrays, the fields that are the same for all neurons; see `parameter_key`.
    """
    if isinstance(model, Heterogeneous):
        return {"type": _HETEROGENEOUS, "model": encode_neuron(model.model), "parameters": list(model.parameters)}
    fields = _NEURON_FIELDS.get(type(model))
    if fields is not None:
        return {"type": type(model).__name__, **{name: plain(getattr(model, name)) for name in fields}}
    if isinstance(model, LadderModel):
        raise ModelFileError(f"no file format for the neuron model {model!r}; use one of {', '.join(_NEURONS)}")
    registration = registration_of(model)
    values = {"type": registration.name}
    values |= {field.name: plain(getattr(model, field.name)) for field in _fields_of(registration)}
    decode_neuron(values)  # what is written can be read
    return values


def decode_neuron(value: Any) -> NeuronModel:
    """The neuron model that `encode_neuron` wrote; without its arrays, see `heterogeneous`.

    Raises
    ------
    ModelFileError
        If the model is of no known kind; or a registered one does not take the values, whatever it raises.
    """
    name = value.get("type") if isinstance(value, dict) else None
    registration = find_registered(name) if isinstance(name, str) and name not in _NEURONS else None
    if registration is not None:
        return _decode_registered(registration, {name: item for name, item in value.items() if name != "type"})
    kind, fields = typed_entry(value, _NEURONS.get, "neuron model", _model_names, _remedy)
    model: NeuronModel = kind(**decode_fields(fields, _NEURON_FIELDS[kind], kind.__name__))
    return model


def heterogeneous(name: str, value: Any, arrays: Arrays) -> NeuronModel:
    """The model of the neurons `name`, with its arrays."""
    fields = {"model": decode_neuron, "parameters": several(text)}
    decoded = decode_fields({key: item for key, item in value.items() if key != "type"}, fields, _HETEROGENEOUS)
    parameters = {}
    for field in decoded["parameters"]:
        array = parameters[field] = arrays[parameter_key(name, field)]
        if array.dtype not in (np.float64, np.int64, np.bool_):
            raise ModelFileError(
                f"{field} of the neurons {name!r} must be float64, int64 or bool (got {array.dtype}); save the model "
                "again"
            )
    return Heterogeneous(decoded["model"], parameters)


def is_heterogeneous(value: Any) -> bool:
    """Whether JSON values are those of neurons whose parameters differ."""
    return isinstance(value, dict) and value.get("type") == _HETEROGENEOUS


def _model_names() -> tuple[str, ...]:
    return (*_NEURONS, *registered_names())


def _remedy() -> str:
    advice = "a neuron model of your own is registered before loading, or by an entry point (docs/neurons.md)"
    return "; ".join(("", advice, *import_plug_ins()))


def _decode_registered(registration: Registration, fields: dict[str, Any]) -> NeuronModel:
    """A registered model out of plain values: numbers, booleans, names and lists of these, and nothing else."""
    names = [field.name for field in _fields_of(registration)]
    if fields.keys() != set(names):
        raise ModelFileError(
            f"{registration.name} must have the fields {', '.join(names)} (got {short(sorted(fields))}); it was saved "
            "by another version of the neuron model"
        )
    example, kinds = registration.model(), dict(registration.parameters)
    decoders = {name: decoder_of(kinds.get(name, type(getattr(example, name)))) for name in names}
    values = decode_fields(fields, decoders, registration.name)
    try:
        model: NeuronModel = registration.model(**values)
        check_model(model)
    except SpikeunetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises
        raise ModelFileError(f"{registration.name} does not take {short(values)}: {short(str(error))}") from None
    return model


def _fields_of(registration: Registration) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(registration.model) if field.init]


def parameter_key(name: str, field: str) -> str:
    """Key of a parameter of neurons that is an array."""
    return f"neurons/{name}.{field}"


def neuron_arrays(node: Node) -> dict[str, NDArray[Any]]:
    """The arrays of a node of neurons by their keys."""
    model = node.model if isinstance(node, Neurons) else None
    arrays = model.parameters if isinstance(model, Heterogeneous) else {}
    return {parameter_key(node.name, field): np.asarray(array) for field, array in arrays.items()}


def parameter_keys(fields: Mapping[str, Any]) -> list[str]:
    """Keys of the arrays that a node of neurons must have."""
    model = fields["model"]
    names = model.get("parameters") if is_heterogeneous(model) else None
    listed = names if isinstance(names, list) else []
    return [parameter_key(fields["name"], field) for field in listed if isinstance(field, str)]


def plain(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, (bool, int, float, str)):
        return value  # most are, and to ask for the protocol takes long
    if isinstance(value, np.generic):
        return value.item()
    return encode_neuron(value) if isinstance(value, NeuronModel) else value
