"""Events as NIR's `data_ir` describes them, to and from streams of the engine.

The classes (`EventData`, `ValuedEventData`, `TimeGriddedData`) are in NIR's repository and in no release of the package
`nir` yet, so their fields are what counts here: any object that has them, or a mapping.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeunet.engine.encoders.event_stream import EventStream, Shape, stream_of_queues
from spikeunet.engine.encoders.plain_events import Events
from spikeunet.engine.errors import InputError
from spikeunet.engine.events import EventQueue

EVENTS = ("idx", "time", "n_neurons", "t_max")
GRID = ("data", "dt")
MOST_STEPS = 100_000

_NEARLY = 1e-9
"""Of a step: times are multiples of dt more often than not, and dt is seldom a number that floats hold."""

Numbers = NDArray[np.float64]


def events_from_nir(data: object, shape: Shape, dt: float | None = None, sample: int = 0) -> EventStream:
    """One sample of NIR's events as a stream for an Input.

    Parameters
    ----------
    data : object or mapping with the fields of EventData (idx, time, n_neurons, t_max), of ValuedEventData (and value),
        or of TimeGriddedData (data, dt)
        Neurons are numbered as (C, H, W) in C's order, which is what NIR's Flatten makes of them; -1 is no event.
    shape : (C, H, W)
    dt : float, optional
        A step in the unit of the times; needed unless it is a field. A time on the border of two steps is in the later.
    sample : int
        Which of the recordings to take.

    Returns
    -------
    EventStream
        Its encoder is what the Input must have. Events of one neuron in one step are added up.

    Raises
    ------
    InputError
        If a field is missing or contradicts another or the shape, or values are no whole numbers up to 255 (127 where
        some are negative), which is what an event stands for here.
    """
    fields = {name: _field(data, name) for name in (*EVENTS, "value", *GRID)}
    found = _gridded(fields, dt, sample) if fields["data"] is not None else _timed(fields, dt, sample)
    steps, neurons, values, count, total = found
    channels, height, width = shape
    if total != channels * height * width:
        raise InputError(f"the data are of {total} neurons, but {channels}x{height}x{width} are {math.prod(shape)}")
    if len(neurons) and not 0 <= neurons.min() <= neurons.max() < total:
        raise InputError(f"idx must lie from 0 to {total - 1}, or be -1 (got {neurons.min()} to {neurons.max()})")
    channel, pixel = np.divmod(neurons, height * width)
    return _stream(steps, pixel * channels + channel, values, shape, count)


def events_to_nir(
    events: EventStream | Iterable[EventQueue], dt: float, encoder: Events | None = None
) -> dict[str, Any]:
    """Fields of NIR's EventData, or of ValuedEventData where events stand for more than 1: `EventData(**fields)`.

    Parameters
    ----------
    events : EventStream, or EventQueues one after the other
    dt : float
        Length of a step. An event stands in the middle of its step, so that rounding cannot move it to another.
    encoder : Events, optional
        Of queues, what their levels mean; 1 for all unless given.

    Returns
    -------
    dict
        idx (1, events) int64, time (1, events) float64, n_neurons, t_max, and perhaps value (1, events) float64.
    """
    dt = _positive("dt", dt)
    stream = events if isinstance(events, EventStream) else stream_of_queues(events, encoder or Events(), "events")
    channels, height, width = stream.shape
    pixel, channel = np.divmod(stream.sites, channels)
    steps = np.repeat(np.arange(stream.steps), np.diff(stream.first))
    end = stream.steps * dt
    fields: dict[str, Any] = {
        "idx": (channel * (height * width) + pixel)[None],
        "time": ((steps + 0.5) * dt)[None],
        "n_neurons": channels * height * width,
        # NIR cuts t_max / dt off, which must not lose the last step.
        "t_max": end if int(end / dt) == stream.steps else math.nextafter(end, math.inf),
    }
    if stream.encoder.signed or stream.encoder.most > 1:
        levels, most = stream.levels.astype(np.float64), stream.encoder.most
        fields["value"] = np.where(levels > most, most - levels, levels)[None]
    return fields


def _field(data: object, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)


def _timed(
    fields: Mapping[str, Any], dt: float | None, sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Numbers, int, int]:
    """Steps, neurons and values of a sample's events, and how many steps and neurons there are."""
    missing = [name for name in EVENTS if fields[name] is None]
    if missing:
        raise InputError(f"NIR's events have the fields {', '.join(EVENTS)}, or data and dt (there is no {missing[0]})")
    if dt is None:
        raise InputError("NIR's events have times; say the length of a step in their unit (dt=)")
    dt, end = _positive("dt", dt), _positive("t_max", fields["t_max"])
    idx, time = np.asarray(fields["idx"]), np.asarray(fields["time"], np.float64)
    value = np.ones(idx.shape) if fields["value"] is None else np.asarray(fields["value"], np.float64)
    if idx.ndim != 2 or idx.dtype.kind not in "iu" or not idx.shape == time.shape == value.shape:
        raise InputError(f"idx (whole numbers), time and value must be (samples, events) (got {idx.dtype} {idx.shape})")
    row = _row(sample, len(idx))
    there = idx[row] != -1
    neurons, times, values = idx[row][there].astype(np.int64), time[row][there], value[row][there]
    count = int(_steps(np.array([end]), dt)[0]) + (not _on_border(end / dt))
    if count > MOST_STEPS:
        raise InputError(f"t_max {end:g} are {count} steps of {dt:g}; at most {MOST_STEPS} are taken")
    if not np.isfinite(times).all() or (len(times) and (times.min() < 0 or _steps(times, dt).max() >= count)):
        raise InputError(f"times of events must lie from 0 to t_max {end:g}")
    return _steps(times, dt), neurons, values, count, int(fields["n_neurons"])


def _gridded(
    fields: Mapping[str, Any], dt: float | None, sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Numbers, int, int]:
    """The same of events that stand in a grid of steps."""
    grid = np.asarray(fields["data"])
    if grid.ndim != 3 or grid.dtype.kind not in "bfiu":
        raise InputError(f"data must be numbers (samples, steps, neurons) (got {grid.dtype} {grid.shape})")
    if dt is not None and dt != fields["dt"]:
        raise InputError(f"the data have steps of {fields['dt']!r} (got dt={dt!r}); leave dt out")
    part = grid[_row(sample, len(grid))]
    steps, neurons = np.nonzero(part)
    return steps, neurons, part[steps, neurons].astype(np.float64), part.shape[0], part.shape[1]


def _stream(
    steps: NDArray[np.int64], sites: NDArray[np.int64], values: Numbers, shape: Shape, count: int
) -> EventStream:
    """Events in any order as a stream, those of one neuron in one step added up."""
    size = math.prod(shape)
    keys, inverse = np.unique(steps * size + sites, return_inverse=True)
    sums = np.bincount(inverse, values, minlength=len(keys))
    keys, sums = keys[sums != 0], sums[sums != 0]
    if not np.isfinite(sums).all() or (sums != np.rint(sums)).any():
        raise InputError("values of events must be whole numbers, of spikes; scale them")
    signed, most = bool((sums < 0).any()), int(np.abs(sums).max(initial=1))
    if most > (127 if signed else 255):
        raise InputError(f"an event stands for up to 255 spikes, 127 with a sign (got {most}); take a smaller dt")
    levels = np.where(sums < 0, most - sums, sums).astype(np.uint8)
    first = np.searchsorted(keys, np.arange(count + 1) * size).astype(np.int64)
    return EventStream(shape, count, Events(most, signed=signed), first, keys % size, levels)


def _steps(times: Numbers, dt: float) -> NDArray[np.int64]:
    places = times / dt
    return np.floor(places + np.maximum(1, places) * _NEARLY).astype(np.int64)


def _on_border(place: float) -> bool:
    return abs(place - round(place)) <= max(1.0, place) * _NEARLY


def _row(sample: int, count: int) -> int:
    if not 0 <= sample < count:
        raise InputError(f"the data have {count} samples, numbered from 0 (got {sample!r})")
    return sample


def _positive(name: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.number)) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{name} must be a positive number (got {value!r:.60})")
    return float(value)
