"""What a run of samples gives back: outputs, and dense recordings where they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .given import GivenSamples
from .plan import SamplePlan


class SampleRecorder:
    """Collects outputs, spikes, spike counts, membranes and readouts, sample by sample.

    Attributes
    ----------
    outputs : dict of (samples, O) float32
        By Output, the sum of its currents.
    fired : dict of (samples, T, C) uint8
        By what emits.
    membrane : dict of (samples, C) float32
    readout : dict of (samples, T, O) float32
    """

    KINDS = frozenset({"spikes", "spike_count", "membrane", "readout"})
    """What can be recorded."""

    def __init__(self, plan: SamplePlan, given: GivenSamples, samples: int, record: frozenset[str]) -> None:
        self._given = given
        self._emitters = plan.emitters
        self._record = record
        over_time = samples, given.steps
        channels = {layer.layer.name: layer.layer.outgoing[0] for layer in plan.layers}
        populations = {layer.layer.name for layer in plan.layers if layer.stepper}
        outputs = {name: size for name, size in channels.items() if name not in populations}
        self.outputs = {name: np.empty((samples, size), np.float32) for name, size in outputs.items()}
        self.fired: dict[str, NDArray[np.uint8]] = {}
        self.membrane: dict[str, NDArray[np.float32]] = {}
        self.readout: dict[str, NDArray[np.float32]] = {}
        if record & {"spikes", "spike_count"}:
            self.fired = {name: np.empty((*over_time, each.channels), np.uint8) for name, each in plan.emitters.items()}
        if "membrane" in record:
            self.membrane = {name: np.empty((samples, channels[name]), np.float32) for name in populations}
        if "readout" in record:
            self.readout = {name: np.empty((*over_time, size), np.float32) for name, size in outputs.items()}

    def add_fired(self, name: str, rows: NDArray[np.uint8], samples: slice, steps: slice) -> None:
        """Note what was fired at some steps, (steps * samples, bytes)."""
        _put(self.fired, name, rows, samples, steps)

    def add_readout(self, name: str, sums: NDArray[np.float32], samples: slice, steps: slice) -> None:
        """Note running sums after some steps, (steps * samples, padded)."""
        _put(self.readout, name, sums, samples, steps)

    def averaged(self) -> dict[str, NDArray[np.float32]]:
        """By Output, (N, O, H, W) float32, the readout divided by the number of steps."""
        steps = np.float32(self._given.steps)
        return {name: np.divide(self._pictures(sums), steps, dtype=np.float32) for name, sums in self.outputs.items()}

    def recorded(self) -> dict[str, object]:
        """By kind, as `Result.recorded`."""
        return {kind: getattr(self, f"_{kind}")() for kind in self._record}

    def _spikes(self) -> dict[str, NDArray[np.float32]]:
        # A spike has the value 1.
        return {name: self._over_time(fired).astype(np.float32) for name, fired in self.fired.items()}

    def _spike_count(self) -> dict[str, NDArray[np.int64]]:
        counts = {name: fired.sum(axis=1, dtype=np.int64) for name, fired in self.fired.items()}
        return {name: self._pictures(count * self._emitters[name].spikes) for name, count in counts.items()}

    def _membrane(self) -> dict[str, NDArray[np.float32]]:
        return {name: self._pictures(potentials) for name, potentials in self.membrane.items()}

    def _readout(self) -> dict[str, NDArray[np.float32]]:
        return {name: self._over_time(sums) for name, sums in self.readout.items()}

    def _pictures(self, values: NDArray[Any]) -> NDArray[Any]:
        """(samples, C) as (N, C, H, W), or (C, H, W) of what is no batch."""
        height, width = self._given.pixels
        arranged = values.reshape(-1, height, width, values.shape[-1]).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(arranged if self._given.batched else arranged[0])

    def _over_time(self, values: NDArray[Any]) -> NDArray[Any]:
        """(samples, T, C) as (N, T, C, H, W), or (T, C, H, W) of what is no batch."""
        height, width = self._given.pixels
        arranged = values.reshape(-1, height, width, *values.shape[1:]).transpose(0, 3, 4, 1, 2)
        return np.ascontiguousarray(arranged if self._given.batched else arranged[0])


def _put(kept: dict[str, NDArray[Any]], name: str, rows: NDArray[Any], samples: slice, steps: slice) -> None:
    if name in kept:
        into = kept[name][samples, steps]
        into[:] = rows[:, : into.shape[2]].reshape(into.shape[1], into.shape[0], -1).swapaxes(0, 1)
