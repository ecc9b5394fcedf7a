"""Any kind of synapses that says what its current is for given values: see `Synapses.current`."""

from __future__ import annotations

from dataclasses import dataclass

from .kernel_choice import VALUES
from .layer import Layer


@dataclass(frozen=True, eq=False)
class ValueLayer(Layer):
    """A layer whose node computes its current itself, from the values that it reads, silent neurons included."""

    @property
    def own_kernels(self) -> str:
        return VALUES
