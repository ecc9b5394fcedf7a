"""An Input whose encoder makes spikes of what it is shown, in the course of one run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..binding import Program
from ..encoders import Encoder, EventStream
from ..encoders.spike_array import SpikeArray
from ..events import EventQueue, queue_of_steps
from ..results.state import State
from .event_inputs import Streams


class EncodedInput:
    """One Input of one picture.

    Parameters
    ----------
    encoder : Encoder
    shown : (C, H, W) or (T, C, H, W) float32
        What is shown at all steps, or at each of them.
    stream : EventStream, SpikeArray or None
        Spikes that come as such.
    picture : int
        Number of the picture in its batch.
    done : int
        Steps since the network was at rest, before this run.
    carried : (C, H, W) float32 or None
        What another run has left of the encoder.
    """

    def __init__(
        self,
        encoder: Encoder,
        shown: NDArray[np.float32],
        stream: EventStream | SpikeArray | None,
        picture: int,
        done: int,
        carried: NDArray[np.float32] | None,
    ) -> None:
        self._encoder = encoder
        self.levels = encoder.level_table()
        self._shown = shown
        self._stream = stream
        self._picture = picture
        self._done = done
        self._memory = {} if carried is None or encoder.carried is None else {encoder.carried: carried.copy()}

    def queue(self, first: int, size: int) -> EventQueue:
        """Spikes of the steps first ... first + size - 1 of this run."""
        if self._stream is not None:
            return self._stream.queue(first, size)
        shown = self._shown
        frames = shown[first : first + size] if shown.ndim == 4 else np.broadcast_to(shown, (size, *shown.shape))
        return queue_of_steps(self._encoder.levels(frames, self._done + first, self._picture, self._memory))

    @property
    def carried(self) -> NDArray[np.float32] | None:
        """What another run needs to go on; None where that is nothing."""
        return None if self._encoder.carried is None else self._memory[self._encoder.carried]


def analog_channels(program: Program) -> NDArray[np.bool_]:
    """(C,) which of the channels of all inputs are an analog input, and not for an encoder."""
    inputs = program.inputs.items()
    return np.concatenate([np.full(place.stop - place.start, name not in program.encoders) for name, place in inputs])


def encoded_inputs(
    program: Program,
    picture: NDArray[np.float32],
    before: State | None,
    number: int,
    streams: Streams,
) -> dict[str, EncodedInput]:
    """Each Input with an encoder, at the beginning of a run."""
    done, carried = (0, {}) if before is None else (before.steps, before.encoders)
    return {
        name: EncodedInput(
            encoder,
            picture[..., program.inputs[name], :, :],
            streams.get(name),
            number,
            done,
            carried.get(name),
        )
        for name, encoder in program.encoders.items()
    }
