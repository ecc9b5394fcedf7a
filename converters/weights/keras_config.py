"""What a Keras file says of its layers beyond their arrays, where it has the config: their classes, pads, strides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from spikeunet.engine.files.json_text import parse_json

LONGEST = 1 << 24
"""Bytes of a config that is looked at."""

_KIND = re.compile(r"Conv[123]D(?:Transpose)?|(?P<depthwise>DepthwiseConv[12]D)")
_CLASS = re.compile(r"(?:conv[123]d(?:_transpose)?|(?P<depthwise>depthwise_conv[12]d))(?:_\d+)?")
"""How Keras calls a layer, or its group within `layers`, by its class, where nobody names it."""


@dataclass(frozen=True)
class KerasLayer:
    """What a config says of a layer.

    Parameters
    ----------
    kind : str
        Its class.
    padding : str
        "same", "valid"; "" of layers that do not pad.
    kernel, stride : int
        The larger of both sides; 1 where there is none.
    """

    kind: str
    padding: str
    kernel: int
    stride: int


class KerasArrays(dict[str, NDArray[Any]]):
    """Arrays of a Keras file, whose layers pad as Keras does, and what is known of the layers.

    Attributes
    ----------
    layers : dict of str to KerasLayer
        By name; empty where the file has no config.
    undecided : list of str
        Kernels that were taken for ordinary ones though nothing in the file says that they are not depthwise.
    """

    def __init__(self, layers: Mapping[str, KerasLayer] | None = None) -> None:
        super().__init__()
        self.layers = dict(layers or {})
        self.undecided: list[str] = []


def layers_of(config: bytes | str | None) -> dict[str, KerasLayer]:
    """Layers by name out of a model's config; those whose name stands for several different ones are left out."""
    if config is None or len(config) > LONGEST:
        return {}
    try:
        found = parse_json(config)
    except ValueError:
        return {}  # what it would have said is then not known
    layers: dict[str, KerasLayer | None] = {}
    for name, layer in _layers(found):
        layers[name] = layer if layers.get(name, layer) == layer else None
    return {name: layer for name, layer in layers.items() if layer is not None}


def is_depthwise(
    name: str | None, path: list[str], layers: Mapping[str, KerasLayer], kernel: tuple[int, ...], bias: int | None
) -> bool | None:
    """Whether a kernel is one of a depthwise convolution; None where nothing in the file tells.

    Parameters
    ----------
    name : str, optional
        Of the layer.
    path : list of str
        Groups in which its arrays lie.
    layers : mapping of str to KerasLayer
        Of the config.
    kernel : tuple of int
        (..., a, b), whose outputs are a b where it is depthwise, else b, or a where it is transposed.
    bias : int, optional
        Number of biases, None where there are none.
    """
    if name is not None and name in layers and (kind := _KIND.fullmatch(layers[name].kind)):
        return kind["depthwise"] is not None
    # Only within a list of layers is a group called by the class; elsewhere by the attribute that the layer is.
    named = [path[-1]] if path[-2:-1] == ["layers"] else []
    for text in (*named, name):
        if text is not None and (match := _CLASS.fullmatch(text)):
            return match["depthwise"] is not None
    channels, others = kernel[-2:]
    if channels == 1:
        return False  # both are the same
    if bias is None:
        return None
    if bias != channels * others:
        return False
    return None if bias == channels else True


def _layers(config: Any) -> Iterator[tuple[str, KerasLayer]]:
    """Names and layers of a model's config, those of models within it, too."""
    waiting = [config]
    while waiting:
        inner = _dict(_dict(waiting.pop()).get("config"))
        listed = inner.get("layers")
        for each in listed if isinstance(listed, list) else ():
            kind, said = _dict(each).get("class_name"), _dict(_dict(each).get("config"))
            name, padding = said.get("name"), said.get("padding")
            if isinstance(kind, str) and isinstance(name, str):
                sizes = (said.get("kernel_size", said.get("pool_size")), said.get("strides", said.get("pool_size")))
                yield name, KerasLayer(kind, padding if isinstance(padding, str) else "", *map(_largest, sizes))
            waiting.append(each)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _largest(value: Any) -> int:
    """The largest of one or several whole numbers, 1 where there are none."""
    numbers = value if isinstance(value, list) else [value]
    return max((number for number in numbers if type(number) is int), default=1)
