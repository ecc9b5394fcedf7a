"""Values of a model file's JSON, each checked to be what its place asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ModelFileError
from ..graph.limits import LARGEST_EXTENT, MOST_GROUPS

LARGEST_INTEGER = max(LARGEST_EXTENT, MOST_GROUPS)
"""Bound on strides, channels and the like; each node has its own, see engine/graph/limits.py."""

_LARGEST_NUMBER = float(np.finfo(np.float32).max)

Decoder = Callable[[Any], Any]


def text(value: Any) -> str:
    """A printable name."""
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ModelFileError(f"expected a printable name (got {short(value)})")
    return value


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ModelFileError(f"expected true or false (got {short(value)})")
    return value


def integer(value: Any) -> int:
    """A whole number from 0 to LARGEST_INTEGER."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_INTEGER:
        raise ModelFileError(f"expected an integer from 0 to {LARGEST_INTEGER} (got {short(value)})")
    return value


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST_NUMBER:
        raise ModelFileError(f"expected a finite number (got {short(value)})")
    return float(value)


def several(decoder: Decoder, count: int | None = None) -> Decoder:
    """Decoder of a list, of `count` items where that is given."""

    def decode(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or (count is not None and len(value) != count):
            raise ModelFileError(f"expected a list{f' of {count}' if count else ''} (got {short(value)})")
        return tuple(decoder(item) for item in value)

    return decode


def plain_number(value: Any) -> float | int:
    """A number as it stands, whole numbers as such."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return value if whole else number(value)


def whole(value: Any) -> int:
    """A whole number of any sign."""
    number = plain_number(value)
    if not isinstance(number, int):
        raise ModelFileError(f"expected a whole number (got {short(value)})")
    return number


def scalar(value: Any) -> Any:
    """A truth value, a name or a number."""
    if isinstance(value, bool):
        return value
    return text(value) if isinstance(value, str) else plain_number(value)


def decoder_of(kind: type) -> Decoder:
    """How a parameter of some type is read: what is none of these is a list of plain values."""
    decoders: dict[type, Decoder] = {float: number, int: whole, bool: boolean, str: text}
    return decoders.get(kind, several(scalar))


def typed_entry(
    value: Any,
    find: Callable[[str], type[Any] | None],
    what: str,
    names: Callable[[], tuple[str, ...]],
    remedy: Callable[[], str],
) -> tuple[type[Any], dict[str, Any]]:
    """The kind that an object names by its type, and its other fields."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ModelFileError(f"a {what} must be an object with a type (got {short(value)})")
    kind = find(value["type"])
    if kind is None:
        known = ", ".join(names())
        raise ModelFileError(f"unknown {what} {short(value['type'])}; known are {known}{remedy()}")
    return kind, {name: item for name, item in value.items() if name != "type"}


def decode_fields(fields: dict[str, Any], decoders: Mapping[str, Decoder], kind: str) -> dict[str, Any]:
    """Fields, each by its decoder; ModelFileError where others are there."""
    if fields.keys() != decoders.keys():
        raise ModelFileError(f"{kind} must have the fields {', '.join(decoders)} (got {short(sorted(fields))})")
    decoded = {}
    for name, decoder in decoders.items():
        try:
            decoded[name] = decoder(fields[name])
        except ModelFileError as error:
            raise ModelFileError(f"{kind}.{name}: {error}") from None
    return decoded


def short(value: Any) -> str:
    """A value as it may appear in a one-line message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
