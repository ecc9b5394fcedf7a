"""An Input whose encoder makes spikes of what it is shown, in the course of one run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..binding import Program
from ..encoders import Encoder, EventStream
from ..encoders.spike_array import SpikeArray
from ..events import EventQueue, queue_of_steps
from ..results.state import State
from .event_inputs import Streams


@dataclass(eq=False)
class EncodedInput:
    """One Input of one picture, which has a number in its batch.

    What is `shown` at all steps is (C, H, W), or (T, C, H, W) at each of them; a `stream` are spikes that come as such.
    So many steps were `done` since the network was at rest, of which `before`, (C, H, W), is what the encoder has left.
    """

    encoder: Encoder
    shown: NDArray[np.float32]
    stream: EventStream | SpikeArray | None
    picture: int
    done: int
    before: NDArray[np.float32] | None

    def __post_init__(self) -> None:
        self.levels, kept = self.encoder.level_table(), self.encoder.carried
        self._memory = {} if self.before is None or kept is None else {kept: self.before.copy()}

    def queue(self, first: int, size: int) -> EventQueue:
        """Spikes of the steps first ... first + size - 1 of this run."""
        if self.stream is not None:
            return self.stream.queue(first, size)
        shown = self.shown
        frames = shown[first : first + size] if shown.ndim == 4 else np.broadcast_to(shown, (size, *shown.shape))
        return queue_of_steps(self.encoder.levels(frames, self.done + first, self.picture, self._memory))

    @property
    def carried(self) -> NDArray[np.float32] | None:
        """What another run needs to go on; None where that is nothing."""
        return None if self.encoder.carried is None else self._memory[self.encoder.carried]


def analog_channels(program: Program) -> NDArray[np.bool_]:
    """(C,) which of the channels of all inputs are an analog input, and not for an encoder."""
    inputs = program.inputs.items()
    return np.concatenate([np.full(place.stop - place.start, name not in program.encoders) for name, place in inputs])


def encoded_inputs(
    program: Program, picture: NDArray[np.float32], before: State | None, number: int, streams: Streams
) -> dict[str, EncodedInput]:
    """Each Input with an encoder, at the beginning of a run."""
    done, carried = (0, {}) if before is None else (before.steps, before.encoders)
    return {
        name: EncodedInput(
            encoder, picture[..., program.inputs[name], :, :], streams.get(name), number, done, carried.get(name)
        )
        for name, encoder in program.encoders.items()
    }
