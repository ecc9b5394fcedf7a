"""Concatenation along the channels, as PyTorch's cat with dim=1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..graph import Join, Shape
from ..graph.fields import set_names


@dataclass(frozen=True, eq=False)
class Concat(Join):
    """Channels of several sources one after the other; a channel offset in the engine, never a copy."""

    parts: tuple[str, ...] = ()

    file_fields: ClassVar[Mapping[str, str]] = {"parts": "names"}

    def __post_init__(self) -> None:
        set_names(self, "parts", "source")

    @property
    def sources(self) -> tuple[str, ...]:
        return self.parts

    def output_shape(self, *shapes: Shape) -> Shape:
        other = next((k for k, shape in enumerate(shapes) if shape[1:] != shapes[0][1:]), None)
        if other is not None:
            sizes = ", ".join(f"{self.parts[k]} {shapes[k][1]}x{shapes[k][2]}" for k in (0, other))
            raise self.refuse("parts", f"differ in size: {sizes}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])
