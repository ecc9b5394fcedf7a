"""Comparisons of results and of ledgers: every number, bit for bit; an AssertionError says where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..operations import Operations

RECORDS = ("spikes", "membrane", "spike_count", "readout")
"""All that `simulate` can record."""

_PER_LAYER = ("spikes", "membrane", "spike_count", "events", "accumulates")


def assert_same(found: Any, expected: Any) -> None:
    """Assert that two results, of the engine or of the reference, hold the same numbers everywhere."""
    require(found.steps == expected.steps, f"steps: {found.steps}, not {expected.steps}")
    for kind in _PER_LAYER:
        assert_same_arrays(getattr(found, kind), getattr(expected, kind), kind)
    for kind in ("neurons", "macs", "dense_macs"):
        first, second = dict(getattr(found, kind)), dict(getattr(expected, kind))
        require(first == second, f"{kind}: {first}, not {second}")
    assert_same_arrays(found.readouts, expected.readouts, "readouts")
    assert_same_arrays(found.outputs, expected.outputs, "outputs")
    assert_same_operations(found.operations, expected.operations)


def assert_same_operations(found: Operations, expected: Operations) -> None:
    """Assert that two ledgers hold the same numbers."""
    for attribute in ("steps", "pictures", "shown", "computed"):
        _assert_same_value(getattr(found, attribute), getattr(expected, attribute), attribute)
    for kind in ("neurons", "synapses", "inputs"):
        first, second = getattr(found, kind), getattr(expected, kind)
        require(sorted(first) == sorted(second), f"{kind}: {sorted(first)}, not {sorted(second)}")
        for name in second:
            _assert_same_fields(first[name], second[name], name)
    _assert_same_value(found.totals, expected.totals, "totals")


def _assert_same_fields(found: Any, expected: Any, owner: str) -> None:
    for each in fields(expected):
        first, second = getattr(found, each.name), getattr(expected, each.name)
        if isinstance(second, Mapping):
            require(sorted(first) == sorted(second), f"{owner}.{each.name}: {sorted(first)}, not {sorted(second)}")
            for name in second:
                _assert_same_fields(first[name], second[name], f"{owner}.{each.name}[{name!r}]")
        else:
            _assert_same_value(first, second, f"{owner}.{each.name}")


def _assert_same_value(found: Any, expected: Any, what: str) -> None:
    if isinstance(expected, np.ndarray):
        assert_same_array(found, expected, what)
    else:
        require(found == expected, f"{what}: {found!r}, not {expected!r}")


def assert_same_arrays(found: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], kind: str) -> None:
    """Assert that two mappings from layer names to arrays are the same."""
    require(sorted(found) == sorted(expected), f"{kind}: {sorted(found)}, not {sorted(expected)}")
    for name, values in expected.items():
        assert_same_array(found[name], values, f"{kind}[{name!r}]")


def assert_same_array(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """Assert that shape, type and every element are the same."""
    require(found.dtype == expected.dtype, f"{what}: dtype {found.dtype}, not {expected.dtype}")
    np.testing.assert_array_equal(found, expected, what, strict=True)


def require(condition: bool, message: str) -> None:
    """AssertionError with `message` where the condition does not hold, under `python -O` too."""
    if not condition:
        raise AssertionError(message)
