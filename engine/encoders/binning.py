"""Events of a camera, each with a time, put into steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, first_few
from .encoder import signed_levels
from .event_stream import EventStream, Shape
from .plain_events import Events

POLARITIES = ("channels", "signed", "merged")
MAXIMUM_STEPS = 100_000
LARGEST_SIDE = 1 << 15

_Sites = NDArray[np.int64]


def bin_events(
    events: NDArray[Any],
    shape: Shape,
    time_step: float | None = None,
    count: int | None = None,
    steps: int | None = None,
    start: float | None = None,
    polarity: str = "channels",
    most: int = 1,
) -> EventStream:
    """Put events of a camera into steps, by time or by number, for an Input with the encoder `Events`.

    Time and memory follow the number of events. Events of one pixel in one step become one, which stands for up to
    `most` of them; `EventStream.clipped` says how many were left out for it.

    Parameters
    ----------
    events : (n,) structured array
        Fields x, y (whole numbers), t (not negative, in ascending order) and p (0 or 1, or -1 or 1), as tonic and
        `read_events` have them. (x, y) = (0, 0) is the pixel of the first row and column.
    shape : (C, H, W)
        C is 2 for the polarity "channels", 1 otherwise.
    time_step : float, optional
        Length of a step in the unit of t (microseconds in nearly all files). Either this or `count`.
    count : int, optional
        Events of each step; those of one step may have any times.
    steps : int, optional
        Number of steps; by default as many as the events need. Events after the last one are refused.
    start : float, optional
        Where the first step begins, with `time_step`; by default at the first event.
    polarity : "channels", "signed" or "merged"
        Channel 0 for p = 0 (or -1) and channel 1 for p = 1; one channel of signed counts, in which events of both kinds
        cancel within a step; or one channel that does not tell them apart.
    most : int
        Largest count that an event stands for: 1 for spikes alone, up to 255 (127 signed) for graded events.

    Returns
    -------
    EventStream
        With the encoder that the Input must have: ``Input("input", C, encoder=stream.encoder)``.

    Raises
    ------
    InputError
        If a field is missing or has values that are out of range or out of order, or a parameter does not fit.
    """
    if polarity not in POLARITIES:
        raise InputError(f"polarity must be one of {', '.join(POLARITIES)} (got {polarity!r})")
    encoder = Events(most, signed=polarity == "signed")
    shape = _checked_shape(shape, 2 if polarity == "channels" else 1, polarity)
    x, y, times, positive = _checked_events(events, shape)
    numbers = _step_numbers(times, time_step, count, start)
    steps = _step_count(numbers, steps)
    channel = positive.astype(np.int64) if polarity == "channels" else 0
    place = (y * shape[2] + x) * shape[0] + channel
    sizes = np.prod(shape, dtype=np.int64)
    keys, inverse = np.unique(numbers * sizes + place, return_inverse=True)
    weights = np.where(positive, 1, -1) if encoder.signed else None
    counts = np.bincount(inverse, weights, minlength=len(keys)).astype(np.int64)
    kept = np.clip(counts, -most, most)
    clipped, present = int(np.abs(counts - kept).sum()), kept != 0
    keys, levels = keys[present], signed_levels(kept[present], most)
    first = np.searchsorted(keys, np.arange(steps + 1) * sizes).astype(np.int64)
    return EventStream(shape, steps, encoder, first, keys % sizes, levels, clipped)


def _checked_shape(shape: Shape, channels: int, polarity: str) -> Shape:
    sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    whole = all(isinstance(side, (int, np.integer)) and 1 <= side <= LARGEST_SIDE for side in sides)
    if len(sides) != 3 or not whole or sides[0] != channels:
        raise InputError(
            f"shape must be ({channels}, H, W) for the polarity {polarity!r}, each side up to {LARGEST_SIDE} "
            f"(got {shape!r})"
        )
    return int(sides[0]), int(sides[1]), int(sides[2])


def _checked_events(events: Any, shape: Shape) -> tuple[_Sites, _Sites, NDArray[Any], NDArray[np.bool_]]:
    """Columns, rows, times and whether the polarity is positive."""
    names = tuple(events.dtype.fields or ()) if isinstance(events, np.ndarray) else None
    missing = [name for name in "xytp" if name not in (names or ())]
    if not names or missing or events.ndim != 1:
        raise InputError(
            f"events must be a structured array of one axis with the fields x, y, t and p (got {_kind(events)}"
            f"{', without ' + first_few(missing) if missing and names else ''})"
        )
    x, y = (_whole_below(events[name], name, side) for name, side in (("x", shape[2]), ("y", shape[1])))
    return x, y, _ascending(events["t"]), _positive(events["p"])


def _kind(events: Any) -> str:
    if not isinstance(events, np.ndarray):
        return type(events).__name__
    fields = f"fields {', '.join(events.dtype.names)}" if events.dtype.names else str(events.dtype)
    return f"{fields}, shape {events.shape}"


def _whole_below(values: NDArray[Any], name: str, side: int) -> _Sites:
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InputError(f"field {name} of events must hold whole numbers (got {values.dtype} {values.shape})")
    wrong = np.flatnonzero((values < 0) | (values >= side))
    if len(wrong):
        raise InputError(
            f"{name} of events must be from 0 to {side - 1} for this shape (event {wrong[0]} has {values[wrong[0]]}); "
            "take the camera's size for shape, or leave such events out"
        )
    return values.astype(np.int64)


def _ascending(times: NDArray[Any]) -> NDArray[Any]:
    if times.dtype.kind not in "iuf" or times.ndim != 1:
        raise InputError(f"field t of events must hold numbers (got {times.dtype} {times.shape})")
    if times.dtype.kind == "f" and not np.isfinite(times).all():
        raise InputError("t of events has values that are NaN or infinite")
    if times.dtype.kind == "u" and len(times) and int(times.max()) >= 2**63:
        raise InputError(f"t of events must be below 2**63 (got {times.max()})")
    times = times.astype(np.float64 if times.dtype.kind == "f" else np.int64)
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        at = int(back[0])
        raise InputError(
            f"t of events must ascend (event {at + 1} has {times[at + 1]} after {times[at]}); sort them: "
            'events[np.argsort(events["t"], kind="stable")]'
        )
    if len(times) and times[0] < 0:
        raise InputError(f"t of events must not be negative (event 0 has {times[0]})")
    return times


def _positive(polarity: NDArray[Any]) -> NDArray[np.bool_]:
    if polarity.dtype.kind not in "iub" or polarity.ndim != 1:
        raise InputError(f"field p of events must hold 0 and 1, or -1 and 1 (got {polarity.dtype} {polarity.shape})")
    found = set(np.unique(polarity).tolist())
    if not (found <= {0, 1} or found <= {-1, 1}):
        raise InputError(f"p of events must be 0 and 1, or -1 and 1 (got {first_few(map(str, sorted(found)))})")
    return np.asarray(polarity > 0)


def _step_numbers(times: NDArray[Any], time_step: float | None, count: int | None, start: float | None) -> _Sites:
    """The step of each event."""
    if (time_step is None) == (count is None):
        raise InputError(f"either time_step or count must be given (got {time_step!r} and {count!r})")
    if count is not None:
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise InputError(f"count must be a whole number from 1 (got {count!r})")
        if start is not None:
            raise InputError(f"start goes with time_step alone (got start {start!r} and count {count!r})")
        return np.arange(len(times), dtype=np.int64) // int(count)
    names: tuple[tuple[str, Any, int | None], ...] = (("time_step", time_step, 0), ("start", start or 0, None))
    for name, value, low in names:
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or (low is not None and value <= low):
            sign = "positive " if low == 0 else ""
            raise InputError(f"{name} must be a {sign}number in the unit of t (got {value!r})")
    assert time_step is not None
    begin = start if start is not None else (times[0] if len(times) else 0)
    if len(times) and times[0] < begin:
        raise InputError(f"start must not be after the first event (got {begin}; that has {times[0]})")
    numbers = (times - begin) // time_step
    if len(numbers) and numbers[-1] >= MAXIMUM_STEPS:
        raise InputError(
            f"these events need {numbers[-1] + 1:g} steps of {time_step}, the limit is {MAXIMUM_STEPS}; take a longer "
            "time_step or fewer events"
        )
    return np.asarray(numbers).astype(np.int64)


def _step_count(numbers: _Sites, steps: int | None) -> int:
    needed = int(numbers[-1]) + 1 if len(numbers) else 1
    if steps is None:
        steps = needed
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= MAXIMUM_STEPS:
        raise InputError(f"steps must be a whole number from 1 to {MAXIMUM_STEPS} (got {steps!r})")
    if steps < needed:
        late = int((numbers >= steps).sum())
        raise InputError(
            f"{late} events come after the last of {steps} steps, of {needed} needed; leave them out first"
        )
    return int(steps)
