"""What `simulate` is given for Inputs that take events, told apart from arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import Events, EventStream, stream_of_queues
from ..encoders.spike_array import SpikeArray, spike_array
from ..errors import InputError
from ..events import EventQueue
from ..graph import Network

Given = EventStream | EventQueue | Sequence[EventStream] | Iterable[EventQueue]
"""What is given for an Input that takes events."""

Stream = EventStream | SpikeArray
"""Events of one picture."""

Streams = Mapping[str, Stream]


def check_encoded(network: Network, pictures: NDArray[np.float32]) -> None:
    """InputError where what is shown, (N, C, H, W) or (N, T, C, H, W), is nothing that encoders take."""
    for name, encoder in network.encoded.items():
        shown = pictures[..., network.input_channels[name], :, :]
        encoder.check(name, shown)
        if shown.ndim == 5 and not encoder.takes_changes and (shown != shown[:, :1]).any():
            raise InputError(
                f"x of Input {name!r} must stay the same over time for {type(encoder).__name__}, whose one spike says "
                "what is shown; leave time_axis out, or take Rate or Delta"
            )


def without_events(network: Network, x: Any, time_axis: int | None) -> tuple[Any, list[Streams] | None, int | None]:
    """`x` with an empty picture in place of events, and by picture the events of each Input that takes some.

    The events are None where no Input takes any. Besides, the time axis of what `x` then is. InputError where events do
    not fit.
    """
    encoders = {name: encoder for name, encoder in network.encoded.items() if isinstance(encoder, Events)}
    if not encoders:
        return x, None, time_axis
    if not isinstance(x, Mapping):
        if len(network.inputs) > 1:
            return x, None, time_axis  # which is refused for another reason
        x = {network.inputs[0].name: x}
    given = {name: given_events(name, encoders[name], x[name], time_axis) for name in encoders if name in x}
    arrays = [np.asarray(x[name]) for name in x if name not in encoders]
    if time_axis is not None and not arrays and not any(isinstance(each, SpikeArray) for each, _ in given.values()):
        raise InputError(
            f"time_axis goes with arrays (got {time_axis!r}); events have steps of their own: leave it out"
        )
    check_alike(network, {name: each for name, (each, _) in given.items()})
    batches: dict[str, Sequence[Stream]] = {
        name: each.pictures if isinstance(each, SpikeArray) else each for name, (each, _) in given.items()
    }
    batched = any(of_batch for _, of_batch in given.values())
    leading = arrays[0].shape[:-3] if arrays else (len(next(iter(batches.values()))),) if batched else ()
    empty = {
        name: np.broadcast_to(np.zeros(1, np.float32), (*leading, *of_input[0].shape))
        for name, of_input in batches.items()
    }
    pictures = zip(*batches.values(), strict=True)
    streams: list[Streams] = [dict(zip(batches, of_picture, strict=True)) for of_picture in pictures]
    return {**x, **empty}, streams, time_axis if arrays else None


def given_events(
    name: str, encoder: Events, value: Any, time_axis: int | None
) -> tuple[SpikeArray | list[EventStream], bool]:
    """The events that one Input gets, and whether of a batch; InputError where they are none."""
    if isinstance(value, EventQueue):
        value = [value]
    if time_axis is not None and hasattr(value, "__array__"):
        return spike_array(name, encoder, value, time_axis)
    if isinstance(value, (str, bytes, np.ndarray, Mapping)) or not isinstance(value, (EventStream, Iterable)):
        raise InputError(
            f"x of Input {name!r} must be what bin_events returns, or EventQueues, for its encoder is Events (got "
            f"{type(value).__name__}); of an array of spikes say with time_axis which axis is time"
        )
    if isinstance(value, EventStream):
        return [_checked(name, encoder, value)], False
    parts = list(value)
    if parts and all(isinstance(part, EventStream) for part in parts):
        return [_checked(name, encoder, part) for part in parts], True
    return [stream_of_queues(parts, encoder, name)], False


def _checked(name: str, encoder: Events, stream: EventStream) -> EventStream:
    if stream.encoder != encoder:
        raise InputError(
            f"x of Input {name!r} was binned for {stream.encoder}, but its encoder is {encoder}; bin with the same "
            "most and sign, or take the stream's encoder for the Input"
        )
    if not stream.steps:
        raise InputError(f"x of Input {name!r} has no steps; pass one at least")
    return stream


def check_alike(network: Network, batches: Mapping[str, SpikeArray | list[EventStream]]) -> None:
    """InputError where the Inputs' events differ in pictures, channels, steps or size."""
    sizes = [each.counts.shape[1] if isinstance(each, SpikeArray) else len(each) for each in batches.values()]
    if len(set(sizes)) > 1:
        raise InputError(f"all inputs must have as many pictures (got {sizes})")
    every = [
        (name, stream)
        for name, each in batches.items()
        for stream in ([each] if isinstance(each, SpikeArray) else each)
    ]
    for name, stream in every:
        channels = network.input_channels[name]
        if stream.shape[0] != channels.stop - channels.start:
            wanted = channels.stop - channels.start
            raise InputError(f"x of Input {name!r} must have {wanted} channels (got the shape {stream.shape})")
        first = every[0][1]
        if (stream.steps, stream.shape[1:]) != (first.steps, first.shape[1:]):
            raise InputError(
                f"events of all inputs and pictures must have as many steps and one size (got {first.steps} steps of "
                f"{first.shape[1:]}, and {stream.steps} of {stream.shape[1:]}); see steps of bin_events"
            )
