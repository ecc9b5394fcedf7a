"""Spikes that are given as an array: of each step, each element's count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import as_array
from ..errors import InputError
from ..events import EventQueue, queue_of_steps
from .plain_events import Events


@dataclass(frozen=True, eq=False)
class SpikeArray:
    """Events of one picture, or of a batch, as an array over time.

    Parameters
    ----------
    encoder : Events
        What counts there may be.
    counts : (T, N, C, H, W) of any kind of numbers
    name : str
        Of the Input.
    """

    encoder: Events
    counts: NDArray[Any]
    name: str

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return len(self.counts)

    @property
    def pictures(self) -> list[SpikeArray]:
        """Each picture by itself, as a batch of one, its counts looked at."""
        levels = self._levels()
        return [SpikeArray(self.encoder, levels[:, k : k + 1], self.name) for k in range(levels.shape[1])]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        channels, height, width = self.counts.shape[2:]
        return channels, height, width

    def queue(self, first: int, size: int) -> EventQueue:
        """The events of up to eight steps of the only picture, whose counts are levels."""
        return queue_of_steps(self.counts[first : first + size, 0])

    def _levels(self) -> NDArray[np.uint8]:
        """The levels that stand for the counts; InputError where the encoder has none for one of them."""
        counts, most = self.counts, self.encoder.most
        fits = (counts == np.rint(counts)) & (counts <= most) & (counts >= (-most if self.encoder.signed else 0))
        if not fits.all():
            raise self.refused()
        whole = counts.astype(np.int16)
        return np.where(whole < 0, most - whole, whole).astype(np.uint8)

    def refused(self) -> InputError:
        """What is raised for a count that the encoder has no level for."""
        counts, most = self.counts, self.encoder.most
        least = -most if self.encoder.signed else 0
        wrong = counts[~((counts == np.rint(counts)) & (counts <= most) & (counts >= least))]
        return InputError(
            f"x of Input {self.name!r} must hold counts of spikes, whole numbers from {least} to {most} for "
            f"{self.encoder} (got {wrong[0]:g}); encode pictures with Rate or Latency"
        )


def spike_array(name: str, encoder: Events, value: Any, time_axis: Any) -> tuple[SpikeArray, bool]:
    """An array of spikes over time, (T, C, H, W), (T, N, C, H, W) or (N, T, C, H, W), and whether it is a batch.

    InputError where it is none.
    """
    array = as_array(value, f"x of Input {name!r}")
    whole = isinstance(time_axis, (int, np.integer)) and not isinstance(time_axis, bool)
    if array.dtype.kind not in "biuf" or array.ndim not in (4, 5) or not math.prod(array.shape):
        raise InputError(
            f"x of Input {name!r} must be counts of spikes of the shape (T, C, H, W), or (T, N, C, H, W) or (N, T, C, "
            f"H, W) of a batch (got {array.dtype} of the shape {array.shape})"
        )
    allowed = (0,) if array.ndim == 4 else (0, 1)
    if not whole or time_axis not in allowed:
        names = " or ".join(map(str, allowed))
        raise InputError(f"time_axis must be {names} of an x with {array.ndim} axes (got {time_axis!r})")
    if array.ndim == 4:
        return SpikeArray(encoder, array[:, None], name), False
    return SpikeArray(encoder, array if time_axis == 0 else np.moveaxis(array, 1, 0), name), True
