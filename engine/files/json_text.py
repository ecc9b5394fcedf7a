"""JSON that nobody vouches for, held to what every reader agrees on: no NaN, nothing doubled, text that is text."""

from __future__ import annotations

import json
import math
from typing import Any

MAXIMUM_DEPTH = 64
"""Deepest nesting of lists and objects; what is nested deeper cannot be written again everywhere."""


def parse_json(text: bytes | str) -> Any:
    """A value out of JSON in UTF-8.

    Returns
    -------
    None, bool, int, float, str, list or dict
        Numbers are finite, and every text has a form in UTF-8.

    Raises
    ------
    ValueError
        If the text is no JSON or no UTF-8, names a key of an object twice, holds NaN, an infinity, a number beyond
        float64's range or half of a character, or is nested too deeply; in one line.
    """
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode(),
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check_json(value)
    return value


def format_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON of a value, ASCII only.

    Raises
    ------
    ValueError or TypeError
        If the value has no such form.
    """
    check_json(value)
    return json.dumps(value, indent=indent, allow_nan=False)


def check_json(value: Any) -> None:
    """Refuse what is not the same for every reader of JSON (ValueError): see `parse_json`.

    What is no JSON value at all is left to `json.dumps`.
    """
    level = [value]
    for _ in range(MAXIMUM_DEPTH + 2):
        if not level:
            return
        level = [part for item in level for part in _parts(item)]
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"nested more than {MAXIMUM_DEPTH} deep"


def _parts(value: Any) -> list[Any]:
    """What a value consists of, itself checked where it consists of nothing."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    if isinstance(value, str):
        _check_text(value)
    return []


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text[:60]!a} holds half of a character") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        doubled = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {doubled[:60]!a} stands there twice")
    return found


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
