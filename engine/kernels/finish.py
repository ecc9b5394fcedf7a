"""The last phase of a band: what its neurons have fired is packed and counted."""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase
from .compact import compact_rows
from .count import count_levels
from .shared_counter import ENTRIES, add_shared


@compiled_phase
def finish_band(band, bands, words, events, counters, touched):
    """Pack and count what a band has fired.

    words : unsigned, as `gather_band` leaves them
    events : EventMemory
    counters : int64, those of the layer, see shared_counter.py
    touched : Touched, the pixels that were computed
    """
    rows = output_rows(band, bands)
    begin, start = bands.table[band].first_entry, events.start
    each = 8 * events.words.size // events.levels.size
    line = (start.shape[1] - 1) * ((rows.channels + 31) // 32 * 4)
    masks = events.masks[rows.first * line : rows.end * line]
    compact_rows(
        events.compress,
        words,
        rows,
        begin,
        start[rows.first : rows.end],
        events.channels,
        events.levels,
        masks,
        touched,
    )
    end = start[rows.end - 1, start.shape[1] - 1]
    add_shared(counters, ENTRIES, end - begin)
    # Several entries lie in a word of eight bytes: the last word is filled up.
    last_word = (end * each + 7) // 8
    for entry in range(end, last_word * 8 // each):
        events.levels[entry] = 0
    count_levels(events.words[begin * each // 8 : last_word], events.thresholds, events.counts)
