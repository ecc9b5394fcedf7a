"""Networks as JSON values and back, through explicit tables: a file can only name what is listed here."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, ModelFileError, SpikeunetError, first_few
from ..fixed_point import HIGHEST_EXPONENT, LARGEST_CODE, LOWEST_EXPONENT, scaled_codes
from ..graph import Input, Network, Neurons, Node, Output, Synapses, Weighted
from ..layers import registry as layers
from ..memory import empty
from .encoders import decode_encoder, encode_encoder
from .neuron_models import Arrays, decode_neuron, heterogeneous, is_heterogeneous, parameter_keys, plain
from .values import Decoder, boolean, decode_fields, integer, number, several, short, text, typed_entry

_PAIR = several(integer, 2)

_SOURCE: dict[str, Decoder] = {"name": text, "source": text}
_ROLES: dict[type[Node], dict[str, Decoder]] = {
    Input: {"name": text, "channels": integer},
    Neurons: {**_SOURCE, "model": lambda value: value if is_heterogeneous(value) else decode_neuron(value)},
    Output: dict(_SOURCE),
}
_ROLES_BY_NAME: dict[str, type[Node]] = {role.__name__: role for role in _ROLES}
_SORTS: dict[str, Decoder] = {
    "integer": integer,
    "pair": _PAIR,
    "number": number,
    "numbers": several(number),
    "boolean": boolean,
    "text": text,
    "names": several(text),
}
"""How a field of each of `layers.SORTS` is read."""


def _node_fields(kind: type[Node]) -> dict[str, Decoder]:
    """What a file holds of a node of some kind, arrays, a delay and an encoder apart."""
    if kind in _ROLES:
        return _ROLES[kind]
    fields = {name: _SORTS[sort] for name, sort in kind.file_fields.items()}  # type: ignore[attr-defined]
    return {"name": text} | fields if "parts" in fields else _SOURCE | fields


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
    values = {each: plain(getattr(node, each)) for each in _node_fields(kind)}
    if isinstance(node, Synapses) and node.delay:
        values["delay"] = node.delay
    if isinstance(node, Input) and node.encoder is not None:
        values["encoder"] = encode_encoder(node.encoder)
    for each in (node.name, *node.sources):
        text(each)
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
        raise ModelFileError(f"the topology must be a list of nodes (got {short(value)})")
    decoded = [_node_entry(item) for item in value]
    named = [fields["name"] for kind, fields in decoded if _array_names(kind)]
    of_neurons = {key for kind, fields in decoded if kind is Neurons for key in parameter_keys(fields)}
    _check_keys({key for name in named for key in _keys(name, arrays)} | of_neurons, set(arrays))
    for fields in (fields for kind, fields in decoded if kind is Neurons and is_heterogeneous(fields["model"])):
        fields["model"] = heterogeneous(fields["name"], fields["model"], arrays)
    nodes = [_made(kind, fields | _weights(kind, fields["name"], arrays)) for kind, fields in decoded]
    return [_scaled(node, arrays) for node in nodes]


def _node_entry(value: Any) -> tuple[type[Node], dict[str, Any]]:
    """A node's kind and its fields, arrays apart."""
    kind, fields = typed_entry(value, _kind_named, "node", _kind_names, _layer_remedy)
    decoders = _node_fields(kind)
    if "delay" in fields and issubclass(kind, Synapses):
        decoders = decoders | {"delay": integer}
    if "encoder" in fields and kind is Input:
        decoders = decoders | {"encoder": decode_encoder}
    return kind, decode_fields(fields, decoders, value["type"])


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
            f"({type(error).__name__}: {short(str(error))})"
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
