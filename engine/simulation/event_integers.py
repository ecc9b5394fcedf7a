"""A layer's bands from event to event in integers, four events at a time: what the kernels take."""

from __future__ import annotations

from typing import Any

from ..binding.integer_layer import QuadLayer
from ..kernels.arguments import BandTable, QuantaEntries, ScaledIntegers
from ..kernels.decode_quanta import decode_quanta
from ..kernels.gather import gather_band
from ..kernels.sources import packed_sources
from .event_sources import plane_sources
from .layer_state import Inputs


class EventIntegers:
    """What the kernels take of a layer and its inputs."""

    def __init__(self, quads: QuadLayer, inputs: Inputs, steps: int) -> None:
        self._connections = quads.plan.tables, ScaledIntegers(quads.weights, quads.terms.scale)
        self._token = quads.token(steps)
        self._sources = packed_sources(plane_sources(inputs, quads.terms.quanta))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self._connections[1].integers.nbytes

    def phases(self, bands: BandTable, entries: QuantaEntries, row_keys: int) -> list[tuple[Any, tuple[Any, ...]]]:
        """Kernels for each band and what they take; the last one takes a constant, neurons and a target besides."""
        steps = self._token.steps
        return [
            (decode_quanta, (bands, self._sources, entries, steps, row_keys)),
            (gather_band, (bands, self._token, self._connections, entries, 0)),
        ]
