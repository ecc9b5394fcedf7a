"""All layers of a network in one call, without Python between them: threads go from layer to layer together."""

from __future__ import annotations

from .arguments import InputRows
from .bound_call import call
from .compilation import compiled_bare
from .count import count_uneven_rows
from .shared_counter import ENTRIES, FINISHED, GIVEN_UP, add_shared, read_shared, wait_until
from .sources import count_sources, source_at


@compiled_bare
def run_chain(first, calls, sources, begins, least, counters, workers, reached):
    """Run the layers from `first` on, up to the first one for which too few of the neurons that it reads are active.

    Worker threads call it at the same time.

    calls : (layers, calls) CALL, what this thread does for each layer; functions of 0 are left out
    sources : int64, numbers of the layers whose events each layer reads
    begins : (layers + 1,) int64, where those of each layer begin among the sources
    least : (layers,) int64, active neurons that a layer has to read
    counters : (layers, >= 3) int64, see shared_counter.py
    workers : number of threads
    reached : (1,) int64, receives the layer that is not run any more; -1 where a thread has given up
    """
    for layer in range(first, calls.shape[0]):
        active = 0
        for place in range(begins[layer], begins[layer + 1]):
            active += read_shared(counters[sources[place]], ENTRIES)
        if active < least[layer]:
            reached[0] = layer
            return
        for number in range(calls.shape[1]):
            if calls[layer, number].function != 0:
                call(calls[layer, number].function, calls[layer, number].block)
        add_shared(counters[layer], FINISHED, 1)
        wait_until(counters[layer], FINISHED, workers)
        if read_shared(counters[layer], FINISHED) >= GIVEN_UP:
            reached[0] = -1
            return
    reached[0] = calls.shape[0]


@compiled_bare
def count_uneven_sources(sources, fan, counts):
    """`count_uneven_rows` of all rows of several queues.

    sources : of CountedSource, as `packed_sources` makes them
    fan : FanTables
    counts : (sources, >= 1, >= 1 + thresholds, 8) int64, to which [source, 0] is added
    """
    for number in range(count_sources(sources)):
        source = source_at(sources, number)
        rows = InputRows(0, source.start.shape[0])
        count_uneven_rows(source.start, source.levels, rows, fan, source.thresholds, counts[number, 0])
