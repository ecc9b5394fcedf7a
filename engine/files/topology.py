"""Networks as JSON values and back, through explicit tables: a file can only name what is listed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import ENCODERS, Encoder
from ..errors import GraphError, ModelFileError, SpikeunetError, first_few
from ..fixed_point import HIGHEST_EXPONENT, LARGEST_CODE, LOWEST_EXPONENT, scaled_codes
from ..graph import Input, Network, Neurons, Node, Output, Synapses, Weighted
from ..graph.limits import LARGEST_EXTENT, MOST_GROUPS
from ..layers import registry as layers
from ..memory import empty
from ..neurons import (
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

LARGEST_INTEGER = max(LARGEST_EXTENT, MOST_GROUPS)
"""Bound on strides, channels and the like; each node has its own, see engine/graph/limits.py."""

_LARGEST_NUMBER = float(np.finfo(np.float32).max)

Decoder = Callable[[Any], Any]
Arrays = Mapping[str, NDArray[Any]]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ModelFileError(f"expected a printable name (got {_short(value)})")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ModelFileError(f"expected true or false (got {_short(value)})")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_INTEGER:
        raise ModelFileError(f"expected an integer from 0 to {LARGEST_INTEGER} (got {_short(value)})")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST_NUMBER:
        raise ModelFileError(f"expected a finite number (got {_short(value)})")
    return float(value)


def _several(decoder: Decoder, count: int | None = None) -> Decoder:
    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or (count is not None and len(value) != count):
            raise ModelFileError(f"expected a list{f' of {count}' if count else ''} (got {_short(value)})")
        return tuple(decoder(item) for item in value)

    return decode


_PAIR = _several(_integer, 2)
_NEURON_FIELDS: dict[type[Any], dict[str, Decoder]] = {
    MultiThreshold: {"thresholds": _several(_number), "initial": _number, "strict": _boolean},
    IntegrateAndFire: {"threshold": _number, "reset": _text, "initial": _number, "strict": _boolean},
    LeakyIntegrateAndFire: {
        "threshold": _number,
        "decay": _number,
        "reset": _text,
        "initial": _number,
        "strict": _boolean,
    },
}
_NEURONS = {model.__name__: model for model in _NEURON_FIELDS}


def encode_neuron(model: NeuronModel) -> dict[str, Any]:
    """A neuron model as JSON values: its fields, and as "type" its class's name or what it is registered as."""
    fields = _NEURON_FIELDS.get(type(model))
    if fields is not None:
        return {"type": type(model).__name__, **{name: _plain(getattr(model, name)) for name in fields}}
    if isinstance(model, LadderModel):
        raise ModelFileError(f"no file format for the neuron model {model!r}; use one of {', '.join(_NEURONS)}")
    registration = registration_of(model)
    values = {"type": registration.name}
    values |= {field.name: _plain(getattr(model, field.name)) for field in _fields_of(registration)}
    decode_neuron(values)  # what is written can be read
    return values


def decode_neuron(value: Any) -> NeuronModel:
    """The neuron model that `encode_neuron` wrote.

    Raises
    ------
    ModelFileError
        If the model is of no known kind; or a registered one does not take the values, whatever it raises.
    """
    name = value.get("type") if isinstance(value, dict) else None
    registration = find_registered(name) if isinstance(name, str) and name not in _NEURONS else None
    if registration is not None:
        return _decode_registered(registration, {name: item for name, item in value.items() if name != "type"})
    kind, fields = _entry(value, _NEURONS.get, "neuron model", _model_names, _remedy)
    model: NeuronModel = kind(**_decoded(fields, _NEURON_FIELDS[kind], kind.__name__))
    return model


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
            f"{registration.name} must have the fields {', '.join(names)} (got {_short(sorted(fields))}); it was saved "
            "by another version of the neuron model"
        )
    example, kinds = registration.model(), dict(registration.parameters)
    decoders = {name: _decoder_of(kinds.get(name, type(getattr(example, name)))) for name in names}
    values = _decoded(fields, decoders, registration.name)
    try:
        model: NeuronModel = registration.model(**values)
        check_model(model)
    except SpikeunetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises
        raise ModelFileError(f"{registration.name} does not take {_short(values)}: {_short(str(error))}") from None
    return model


def _fields_of(registration: Registration) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(registration.model) if field.init]


def _plain_number(value: Any) -> float | int:
    """A number as it stands, whole numbers as such."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return value if whole else _number(value)


def _whole(value: Any) -> int:
    number = _plain_number(value)
    if not isinstance(number, int):
        raise ModelFileError(f"expected a whole number (got {_short(value)})")
    return number


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return _text(value) if isinstance(value, str) else _plain_number(value)


def _decoder_of(kind: type) -> Decoder:
    """How a registered model's parameter of some type is read: what is none of these is a list of plain values."""
    decoders: dict[type, Decoder] = {float: _number, int: _whole, bool: _boolean, str: _text}
    return decoders.get(kind, _several(_scalar))


def encode_encoder(encoder: Encoder) -> dict[str, Any]:
    """An Input's encoder as JSON values: its fields, and as "type" the name of its class."""
    values = {field.name: _plain(getattr(encoder, field.name)) for field in dataclasses.fields(encoder)}  # type: ignore[arg-type]
    return {"type": type(encoder).__name__, **values}


def decode_encoder(value: Any) -> Encoder:
    """The encoder that `encode_encoder` wrote; ModelFileError or GraphError where a value is not what it must be."""
    kind, fields = _entry(value, ENCODERS.get, "encoder", lambda: tuple(ENCODERS), str)
    example = kind()
    decoders = {field.name: _decoder_of(type(getattr(example, field.name))) for field in dataclasses.fields(kind)}
    encoder: Encoder = kind(**_decoded(fields, decoders, kind.__name__))
    return encoder


_SOURCE: dict[str, Decoder] = {"name": _text, "source": _text}
_ROLES: dict[type[Node], dict[str, Decoder]] = {
    Input: {"name": _text, "channels": _integer},
    Neurons: {**_SOURCE, "model": decode_neuron},
    Output: dict(_SOURCE),
}
_ROLES_BY_NAME: dict[str, type[Node]] = {role.__name__: role for role in _ROLES}
_SORTS: dict[str, Decoder] = {
    "integer": _integer,
    "pair": _PAIR,
    "number": _number,
    "numbers": _several(_number),
    "boolean": _boolean,
    "text": _text,
    "names": _several(_text),
}
"""How a field of each of `layers.SORTS` is read."""


def _node_fields(kind: type[Node]) -> dict[str, Decoder]:
    """What a file holds of a node of some kind, arrays, a delay and an encoder apart."""
    if kind in _ROLES:
        return _ROLES[kind]
    fields = {name: _SORTS[sort] for name, sort in kind.file_fields.items()}  # type: ignore[attr-defined]
    return {"name": _text} | fields if "parts" in fields else _SOURCE | fields


def _kind_named(name: str) -> type[Node] | None:
    return _ROLES_BY_NAME.get(name) or layers.find_kind(name)


def _kind_names() -> tuple[str, ...]:
    return (*_ROLES_BY_NAME, *(layers.name_of(kind) or "" for kind in layers.layer_kinds()))


def _layer_remedy() -> str:
    advice = "a layer of your own is registered before loading, or by an entry point (docs/layers.md)"
    return "; ".join(("", advice, *layers.import_plug_ins()))


def weight_keys(name: str) -> tuple[str, str]:
    """Keys of a node's weight and bias in a model file."""
    return f"weights/{name}.weight", f"weights/{name}.bias"


def exponents_key(name: str) -> str:
    """Key of the powers of two of a node's integer weights in a model file."""
    return f"weights/{name}.exponents"


def encode_node(node: Node) -> dict[str, Any]:
    """A node, its weights apart, as JSON values."""
    kind = type(node)
    name = kind.__name__ if kind in _ROLES else layers.name_of(kind)
    if name is None:
        raise ModelFileError(
            f"no file format for {kind.__name__} {node.name!r}; register it with spikeunet.engine.register_layer"
        )
    values = {each: _plain(getattr(node, each)) for each in _node_fields(kind)}
    if isinstance(node, Synapses) and node.delay:
        values["delay"] = node.delay
    if isinstance(node, Input) and node.encoder is not None:
        values["encoder"] = encode_encoder(node.encoder)
    for each in (node.name, *node.sources):
        _text(each)
    values = {"type": name, **values}
    if not _is_package_kind(kind):
        _node_entry(values)  # what is written can be read
    return values


def decode_nodes(value: Any, arrays: Arrays) -> list[Node]:
    """The nodes that `encode_node` wrote; `arrays` holds exactly their weights.

    Raises
    ------
    ModelFileError, GraphError or NeuronError
        If a node's type, fields or arrays are not what they must be.
    """
    if not isinstance(value, list) or not value:
        raise ModelFileError(f"the topology must be a list of nodes (got {_short(value)})")
    decoded = [_node_entry(item) for item in value]
    named = [fields["name"] for kind, fields in decoded if _array_names(kind)]
    _check_keys({key for name in named for key in _keys(name, arrays)}, set(arrays))
    nodes = [_made(kind, fields | _weights(kind, fields["name"], arrays)) for kind, fields in decoded]
    return [_scaled(node, arrays) for node in nodes]


def _node_entry(value: Any) -> tuple[type[Node], dict[str, Any]]:
    """A node's kind and its fields, arrays apart."""
    kind, fields = _entry(value, _kind_named, "node", _kind_names, _layer_remedy)
    decoders = _node_fields(kind)
    if "delay" in fields and issubclass(kind, Synapses):
        decoders = decoders | {"delay": _integer}
    if "encoder" in fields and kind is Input:
        decoders = decoders | {"encoder": decode_encoder}
    return kind, _decoded(fields, decoders, value["type"])


def _is_package_kind(kind: type[Node]) -> bool:
    return kind in _ROLES or kind in layers.OWN


def _made(kind: type[Node], fields: dict[str, Any]) -> Node:
    """A node of any kind; ModelFileError where somebody's own does not take the fields, whatever it raises."""
    if _is_package_kind(kind):
        return kind(**fields)
    try:
        return kind(**fields)
    except SpikeunetError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises
        raise ModelFileError(
            f"{layers.name_of(kind)} {fields['name']!r} does not take what the file holds of it "
            f"({type(error).__name__}: {_short(str(error))})"
        ) from None


def _array_names(kind: type[Node]) -> tuple[str, ...]:
    return kind.arrays if issubclass(kind, Synapses) else ()


def _check_keys(expected: set[str], found: set[str]) -> None:
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    lists = (("missing", missing), ("unexpected", unexpected))
    if missing or unexpected:
        raise ModelFileError("; ".join(f"{word} arrays: {first_few(keys)}" for word, keys in lists if keys))


def _keys(name: str, arrays: Arrays) -> tuple[str, ...]:
    """Keys of the arrays that a node must have: integer weights have exponents, too."""
    weight, bias = weight_keys(name)
    integers = weight in arrays and arrays[weight].dtype == np.int8
    return (weight, bias, exponents_key(name)) if integers else (weight, bias)


def _weights(kind: type[Node], name: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Weight and bias of a node, integer weights without their powers of two."""
    if not _array_names(kind):
        return {}
    weight, bias = (arrays[key] for key in weight_keys(name))
    if weight.dtype not in (np.float32, np.float16, np.int8):
        raise ModelFileError(f"weight of {name!r} must be float32, float16 or int8 (got {weight.dtype})")
    if bias.dtype not in (np.float32, np.float16):
        raise ModelFileError(f"bias of {name!r} must be float32 or float16 (got {bias.dtype})")
    if weight.dtype == np.int8 and weight.size and weight.min() < -LARGEST_CODE:
        raise ModelFileError(f"integer weights of {name!r} must lie from -{LARGEST_CODE} to {LARGEST_CODE} (got -128)")
    return {"weight": _as_float32(weight) if weight.dtype == np.int8 else weight, "bias": bias}


def _as_float32(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    weight = empty(codes.shape, np.float32)
    weight[:] = codes
    return weight


def _scaled(node: Node, arrays: Arrays) -> Node:
    """A node whose integer weights are multiplied with their powers of two; any other as it is."""
    exponents = arrays.get(exponents_key(node.name))
    if exponents is None or not isinstance(node, Weighted):
        return node
    if exponents.dtype != np.int16 or exponents.shape != (node.out_channels,):
        raise ModelFileError(
            f"exponents of {node.name!r} must be int16 ({node.out_channels},), one for each output channel (got "
            f"{exponents.dtype} {exponents.shape})"
        )
    low, high = int(exponents.min()), int(exponents.max())
    if low < LOWEST_EXPONENT or high > HIGHEST_EXPONENT:
        raise ModelFileError(
            f"exponents of {node.name!r} must lie from {LOWEST_EXPONENT} to {HIGHEST_EXPONENT} (got {low} to {high})"
        )
    return dataclasses.replace(node, weight=scaled_codes(node, node.weight, exponents))


def check_channels(network: Network) -> None:
    """Refuse a network whose weights do not fit one another, whatever the picture's size (ModelFileError)."""
    try:
        _ = network.channels
    except GraphError as error:
        raise ModelFileError(str(error)) from None


def _entry(
    value: Any,
    find: Callable[[str], type[Any] | None],
    what: str,
    names: Callable[[], tuple[str, ...]],
    remedy: Callable[[], str],
) -> tuple[type[Any], dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ModelFileError(f"a {what} must be an object with a type (got {_short(value)})")
    kind = find(value["type"])
    if kind is None:
        known = ", ".join(names())
        raise ModelFileError(f"unknown {what} {_short(value['type'])}; known are {known}{remedy()}")
    return kind, {name: item for name, item in value.items() if name != "type"}


def _decoded(fields: dict[str, Any], decoders: Mapping[str, Decoder], kind: str) -> dict[str, Any]:
    if fields.keys() != decoders.keys():
        raise ModelFileError(f"{kind} must have the fields {', '.join(decoders)} (got {_short(sorted(fields))})")
    decoded = {}
    for name, decoder in decoders.items():
        try:
            decoded[name] = decoder(fields[name])
        except ModelFileError as error:
            raise ModelFileError(f"{kind}.{name}: {error}") from None
    return decoded


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, int, float, str)):
        return value  # most are, and to ask for the protocol takes long
    if isinstance(value, np.generic):
        return value.item()
    return encode_neuron(value) if isinstance(value, NeuronModel) else value


def _short(value: Any) -> str:
    """A value as it may appear in a one-line message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
