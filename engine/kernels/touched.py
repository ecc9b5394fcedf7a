"""Which pixels of a band have to be computed: those that an event reaches, and those that are not at rest.

Of event-driven neurons (see engine/neurons/event_driven.py) a step without current changes nothing unless they fire.
Where nothing arrives, and nothing fires by itself, they are left out, and no memory of theirs is looked at. So are
others while they are at rest (engine/neurons/rest.py): what leaks stays there until an event arrives.
"""

from __future__ import annotations

import numba
import numpy as np

from .band import output_rows
from .bound_call import compiled_phase
from .compilation import compiled_bare, compiled_inner
from .sources import count_sources, source_at

_STEPS = 8
"""Most steps of a group: a mark has a bit for each of them, and behind them one for pixels that were not at rest."""

RESTLESS = 1 << 9
"""Of a mark, where a pixel is not at rest afterwards although it has not fired at the last step."""

EVERY = 1 << 10
"""Of a mark, where so much arrives that all pixels of the band are computed, without a look at which are reached."""


@numba.njit(inline="always")
def _steps_with_events(source, first, end, steps):
    """Of a pixel's entries first ... end - 1, a bit for each step at which one of them has an event."""
    every, found = (1 << steps) - 1, 0
    for entry in range(first, end):
        for step in range(steps):
            found |= (source.levels[entry * source.bytes_each + step] != 0) << step
        if found == every:
            break
    return found


@numba.njit(inline="always")
def _mark_row(source, row, steps, reach, rows, marks):
    """Mark the pixels of a band that the events of an input row reach."""
    start = source.start
    if start[row, 0] == start[row, start.shape[1] - 1]:
        return
    for x in range(start.shape[1] - 1):
        if start[row, x] == start[row, x + 1]:
            continue
        found = np.uint16(_steps_with_events(source, start[row, x], start[row, x + 1], steps))
        for of_row in range(reach.row_begins[row], reach.row_begins[row + 1]):
            y = reach.rows[of_row]
            if y >= rows.first and y < rows.end:
                for of_column in range(reach.column_begins[x], reach.column_begins[x + 1]):
                    marks[(y - rows.first) * reach.width + reach.columns[of_column]] |= found


@compiled_inner
def _are_many(sources, low, high):
    """Whether half of the pixels of some input rows, of a source, have events: then nearly all pixels are reached."""
    for number in range(count_sources(sources)):
        start, active = source_at(sources, number).start, 0
        for row in range(low, high):
            for x in range(start.shape[1] - 1):  # in vector instructions
                active += start[row, x] != start[row, x + 1]
        if 2 * active > (high - low) * (start.shape[1] - 1):
            return True
    return False


@compiled_inner
def _begin_row(marks, awake):
    """Mark the pixels of a row that are not at rest."""
    for x in range(marks.size):
        marks[x] = np.uint16(awake[x]) << np.uint16(_STEPS)


@compiled_inner
def _find_spans(marks, spans):
    """Write down how many spans of marked pixels a row has, and first and last + 1 pixel of each."""
    every = np.uint16(0)
    for x in range(marks.size):  # in vector instructions: most rows may have none
        every |= marks[x]
    count, inside = 0, False
    if every != 0:
        for x in range(marks.size):
            if (marks[x] != 0) != inside:
                spans[1 + 2 * count + inside] = x
                count += inside
                inside = not inside
        if inside:
            spans[2 + 2 * count] = marks.size
            count += 1
    spans[0] = count


@compiled_phase
def find_touched(band, bands, sources, steps, counted, reach, awake, touched):
    """Find the pixels of a band that have to be computed, and at which steps an event reaches each of them.

    counted : 1 where it is counted what is reached when, and has to be known; otherwise 0
    sources : of EventSource, as `packed_sources` makes them
    reach : Reach
    awake : (H * W,) uint8, of the layer: 1 where a pixel has to be computed even if nothing arrives
    touched : Touched, receives marks, and spans unless its line is 0
    """
    rows, marks, width = output_rows(band, bands), touched.marks, reach.width
    low, high = reach.first_input[rows.first], reach.end_input[rows.first]
    for row in range(rows.first, rows.end):
        low, high = min(low, reach.first_input[row]), max(high, reach.end_input[row])
        line = (row - rows.first) * width
        _begin_row(marks[line : line + width], awake[row * width : (row + 1) * width])
    if counted == 0 and _are_many(sources, low, high):
        marks[: (rows.end - rows.first) * width] = EVERY
        for row in range(rows.end - rows.first):
            touched.spans[row * touched.line], touched.spans[row * touched.line + 1] = 1, 0
            touched.spans[row * touched.line + 2] = width
        return
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        for row in range(low, high):
            _mark_row(source, row, steps, reach, rows, marks)
    if touched.line != 0:
        for row in range(rows.end - rows.first):
            _find_spans(marks[row * width : (row + 1) * width], touched.spans[row * touched.line :])


@compiled_bare
def count_updates(rows, steps, fired, touched, awake, updates):
    """Count the pixels of a band that were updated at each step: reached by an event, or firing without any.

    Also note which are not at rest, those that have fired at the last step.

    rows : OutputRows
    fired : start and levels of the band's events, as `compact_rows` leaves them
    touched : Touched, as `find_touched` leaves it
    awake : (H * W,) uint8, of the layer
    updates : (>= steps,) int64, to which is added
    """
    start, levels = fired
    width = start.shape[1] - 1
    for row in range(rows.end - rows.first):
        line = row * touched.line
        for number in range(touched.spans[line]):
            for x in range(touched.spans[line + 1 + 2 * number], touched.spans[line + 2 + 2 * number]):
                own = 0
                for entry in range(start[row, x], start[row, x + 1]):
                    word = np.uint64(levels[entry])
                    for step in range(steps):
                        own |= ((word >> np.uint64(8 * step)) & np.uint64(255) != 0) << step
                mark = np.int64(touched.marks[row * width + x])
                awake[(rows.first + row) * width + x] = own >> (steps - 1) | (mark & RESTLESS != 0)
                for step in range(steps):
                    updates[step] += ((own | mark) >> step) & 1


@compiled_phase
def count_updates_of_band(band, bands, steps, events, touched, awake, updates):
    """`count_updates` of a band whose events lie in memory of all rows.

    events : start and levels, of all rows
    """
    rows = output_rows(band, bands)
    fired = events[0][rows.first : rows.end], events[1]
    count_updates(rows, steps, fired, touched, awake, updates)


@compiled_phase
def note_away(band, bands, width, variable, rest, rest_stride, others, touched, awake):
    """Note the pixels of a band, of those that were computed, of which a neuron is not at rest.

    Where all were, for so much arrived, all may be away: to find out is not worth it before less arrives.

    width : pixels of a row
    variable : uint32, the bits of a state variable, (H * W, padded channels), flat
    rest : uint32, those at rest
    rest_stride : numbers there from pixel to pixel; 0 where they are the same for all
    others : 1 where another variable has been looked at, of which what was noted stays; otherwise 0
    touched : Touched
    awake : (H * W,) uint8, of the layer
    """
    rows = output_rows(band, bands)
    if touched.line == 0 or touched.marks[0] == EVERY:
        awake[rows.first * width : rows.end * width] = 1
        return
    for row in range(rows.end - rows.first):
        spans = row * touched.line
        for span in range(touched.spans[spans]):
            first = (rows.first + row) * width + touched.spans[spans + 1 + 2 * span]
            end = (rows.first + row) * width + touched.spans[spans + 2 + 2 * span]
            for pixel in range(first, end):
                differs = np.uint32(0)
                for channel in range(rows.channels):  # in vector instructions
                    differs |= variable[pixel * rows.padded + channel] ^ rest[pixel * rest_stride + channel]
                awake[pixel] = (awake[pixel] & others) | (differs != 0)
