"""The sum of several currents: residual connections, several synapses into one population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..graph import CurrentSum, Shape
from ..graph.fields import set_names


@dataclass(frozen=True, eq=False)
class Add(CurrentSum):
    """Currents of several nodes of synapses, added up within a step.

    What neurons emit is added through a `Scale` of weights 1, an identity connection.

    Parameters
    ----------
    name : str
    parts : names of nodes of synapses, all of one shape; one that is named twice counts twice
    """

    parts: tuple[str, ...] = ()

    file_fields: ClassVar[Mapping[str, str]] = {"parts": "names"}

    def __post_init__(self) -> None:
        super().__post_init__()
        set_names(self, "parts", "node of synapses")

    @property
    def sources(self) -> tuple[str, ...]:
        return self.parts

    def output_shape(self, *shapes: Shape) -> Shape:
        other = next((k for k, shape in enumerate(shapes) if shape != shapes[0]), None)
        if other is not None:
            found = ", ".join(f"{self.parts[k]} {'x'.join(map(str, shapes[k]))}" for k in (0, other))
            raise self.refuse("parts", f"differ in shape: {found}")
        return shapes[0]
