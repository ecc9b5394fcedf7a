"""Comparisons of results: every number, bit for bit."""

from __future__ import annotations

import numpy as np

RECORDS = ("spikes", "membrane", "spike_count", "readout")
PER_LAYER = ("spikes", "membrane", "spike_count", "events", "accumulates")


def assert_same(found, expected):
    """Assert that two results, of the engine or of the reference, hold the same numbers everywhere."""
    assert found.steps == expected.steps
    for kind in PER_LAYER:
        assert_same_arrays(getattr(found, kind), getattr(expected, kind), kind)
    for kind in ("neurons", "macs", "dense_macs"):
        assert dict(getattr(found, kind)) == dict(getattr(expected, kind)), kind
    assert_same_array(found.readout, expected.readout, "readout")
    assert_same_array(found.output, expected.output, "output")


def assert_same_arrays(found, expected, kind):
    """Assert that two mappings from layer names to arrays are the same."""
    assert sorted(found) == sorted(expected), kind
    for name, values in expected.items():
        assert_same_array(found[name], values, f"{kind}[{name!r}]")


def assert_same_array(found, expected, what):
    """Assert that shape, type and every element are the same."""
    assert found.dtype == expected.dtype, f"{what}: dtype {found.dtype}, not {expected.dtype}"
    np.testing.assert_array_equal(found, expected, what, strict=True)
