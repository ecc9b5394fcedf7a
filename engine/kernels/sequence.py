"""Layers in one call, without Python between them: threads go from layer to layer together."""

from __future__ import annotations

from .arguments import InputRows
from .bound_call import call, compiled_phase
from .compilation import compiled_bare
from .count import count_uneven_rows, count_zeros_of_rows
from .shared_counter import ENTRIES, FINISHED, GIVEN_UP, add_shared, next_band, read_shared, wait_until
from .sources import count_sources, source_at
from .zero_counts import count_zeros_of_masks


@compiled_bare
def run_layers(first, last, calls, reads, counters, thread, progress):
    """Run the layers first ... last - 1, up to the first one that cannot be run as it should be.

    Worker threads call it at the same time, and each takes the next band that none has taken.

    calls : LayerCalls, of this thread; those of [0] take silent neurons along, or there is nothing to choose; those of
        [1] go from event to event
    reads : LayerReads
    counters : (layers, >= 3) int64, see shared_counter.py
    thread : number of this thread, and how many there are
    progress : SequenceProgress, of this thread
    """
    worker, workers = thread
    for layer in range(first, last):
        active = 0
        for place in range(reads.begins[layer], reads.begins[layer + 1]):
            active += read_shared(counters[reads.sources[place]], ENTRIES)
        choice = 1 if active < reads.least[layer] else 0
        if choice == 1 and not progress.bound[layer]:
            progress.reached[0] = layer
            return
        progress.choices[layer] = choice
        for number in range(calls.once.shape[2]):
            if calls.once[choice, layer, number].function != 0:
                call(calls.once[choice, layer, number].function, calls.once[choice, layer, number].block, -1)
        shares = calls.shares[choice, layer]
        # The first thread counts what events meet, and has done so before their memory is used again.
        done = 1 if worker == 0 else 0
        band = next_band(counters[layer], shares, worker)
        while band >= 0:
            for number in range(calls.phases.shape[2]):
                function = calls.phases[choice, layer, number].function
                if function == 0:
                    break
                call(function, calls.phases[choice, layer, number].block, band)
            done += 1
            band = next_band(counters[layer], shares, worker)
        add_shared(counters[layer], FINISHED, done)
        # For what has to be done, not for the threads: one that wakes up late keeps nobody waiting.
        wait_until(counters[layer], FINISHED, shares[workers] + 1)
        if read_shared(counters[layer], FINISHED) >= GIVEN_UP:
            progress.reached[0] = -1
            return
    progress.reached[0] = last


@compiled_phase
def count_uneven_sources(_band, sources, fan, counts):
    """`count_uneven_rows` of all rows of several queues.

    sources : of CountedSource, as `source_table` makes them
    fan : FanTables
    counts : (sources, >= 1, >= 1 + thresholds, 8) int64, to which [source, 0] is added
    """
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        rows = InputRows(0, source.start.shape[0])
        count_uneven_rows(source.start, source.levels, rows, fan, source.thresholds, counts[number, 0])


@compiled_phase
def count_zeros_of_sources(_band, sources, tables, totals, counts):
    """Count, for each event of all rows of several queues, the weights of zero that it meets.

    sources : of CountedSource, as `source_table` makes them
    tables : ZeroTables
    totals : int64, memory for as many as the queue with the most channels has, filled up to whole words of its masks
    counts : (sources, >= 2, >= 1, 8) int64, to which [source, 1, 0] is added
    """
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        height, columns = source.start.shape
        rows, first = InputRows(0, height), source.channel_offset
        if source.levels.itemsize == 1 and source.masks.size > 0:
            place = first, source.width
            count_zeros_of_masks(source.masks, rows, columns - 1, tables, place, totals, counts[number, 1, 0])
        else:
            count_zeros_of_rows(source.start, source.channels, source.levels, rows, tables, first, counts[number, 1, 0])
