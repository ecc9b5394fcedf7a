"""Which kernels the engine runs layers with: what it chooses itself, or the event-driven ones alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spikeunet.engine.build import integer_layer, layers
from spikeunet.engine.simulation import pool_run


@contextmanager
def event_driven() -> Iterator[None]:
    """Run no layer in integers; what networks were bound to before and after is forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integer_layer, "host_dot", lambda: None)
        patch.setattr(pool_run, "POOLING_DENSITY_THAT_PAYS", 2.0)
        layers._bound.clear()
        yield
    layers._bound.clear()
