"""Only what has changed: currents of integers are brought up to date where levels that they read have changed.

A layer's current is linear in the levels that it reads. Where currents are sums of integers (see
engine/binding/integer_plan.py), nothing is rounded in whatever order they are added up: the current of a picture is
that of the picture before, plus the weights of what has changed, times by how much. All others are computed anew, but
only at output pixels under which something has changed.

Which ones those are, dirty.py says before a layer is run; all other pixels keep what they have. Of the rest,
gather_dirty.py walks as gather.py does, from change to change, or dot_dirty.py takes all levels along, whichever is
sooner done. Then changes.py finds out whose level is another one now, for the layers that read it.
"""

from __future__ import annotations

import numba

from .band import output_rows
from .bound_call import call, compiled_phase
from .changes import READY
from .compilation import compiled_bare
from .shared_counter import FINISHED, TAKEN, add_shared, wait_until


@compiled_phase
def write_output(band, bands, kept, dirty, output):
    """Bring a readout, (O, H, W), up to date where a band has dirty pixels."""
    rows = output_rows(band, bands)
    width = dirty.shape[1]
    for y in range(rows.first, rows.end):
        marked = dirty[y]
        # A row stays in the fastest memory while one channel after the other is picked out of it.
        of_row = kept[y * width * rows.padded : (y + 1) * width * rows.padded].reshape(width, rows.padded)
        for channel in range(rows.channels):
            target = output[channel, y]
            for x in range(width):
                if marked[x]:
                    # A sum that begins at 0, as of steps: there is no zero with a sign.
                    target[x] = of_row[x, channel] + output.dtype.type(0)


# --- Counting --------------------------------------------------------------------------------------------------------


@compiled_phase
def count_met(_number, source, net, fan, zeros, odd, thresholds, counts):
    """Add to `counts` what a source's changes meet beside the usual fan-out: what they fire now less what they fired.

    source : ChangedSource
    net : (threads, channels) int32, by channel, neurons that fire now less those that fired
    fan : FanTables
    zeros : ZeroTables or None
    odd : OddPlaces
    counts : (2, 1 + K) int64, as in `LayerRun`, of a step; behind them, at [1, 1], what all entries reach beside the
        usual fan-out
    """
    if zeros is not None:
        usual = zeros.zeros[odd.row_class][odd.column_class][source.channel_offset :]
        for thread in range(net.shape[0]):
            for channel in range(net.shape[1]):
                if net[thread, channel] != 0:
                    counts[1, 0] += usual[channel] * net[thread, channel]
    for y in range(odd.rows.size):
        if odd.rows[y]:
            for x in range(source.changed.shape[1]):
                if source.changed[y, x]:
                    _count_odd(source, y, x, fan, zeros, odd, thresholds, counts)
        else:
            for x in odd.columns:
                if source.changed[y, x]:
                    _count_odd(source, y, x, fan, zeros, odd, thresholds, counts)


@numba.njit(inline="always")
def _count_odd(source, y, x, fan, zeros, odd, thresholds, counts):
    """The same of a pixel that is not as most are."""
    begin = source.begins[y, x]
    end = begin + source.numbers[y, x]
    excess = fan.rows[y] * fan.columns[x] - fan.usual_row * fan.usual_column
    counts[1, 1] += excess * (end - begin)
    if excess != 0:
        for entry in range(begin, end):
            new, old = source.pairs[entry] & 255, source.pairs[entry] >> 8
            counts[0, 0] += excess * ((new != 0) - (old != 0))
            for kind in range(thresholds):
                counts[0, 1 + kind] += excess * (((new >> kind) & 1) - ((old >> kind) & 1))
    if zeros is not None:
        of_class = zeros.zeros[zeros.row_classes[y]][zeros.column_classes[x]][source.channel_offset :]
        usual = zeros.zeros[odd.row_class][odd.column_class][source.channel_offset :]
        for entry in range(begin, end):
            pair, channel = source.pairs[entry], source.channels[entry]
            counts[1, 0] += (of_class[channel] - usual[channel]) * ((pair & 255 != 0) - (pair >> 8 != 0))


# --- Layer after layer -----------------------------------------------------------------------------------------------


@compiled_bare
def run_increments(calls, layers, counters, thread):
    """Bring all layers up to date, one after the other; worker threads call it at the same time.

    calls : IncrementCalls, of this thread
    layers : LayerProgress
    counters : (layers, >= 4) int64
    thread : number of this thread, and how many there are
    """
    worker, workers = thread
    for layer in range(calls.phases.shape[1]):
        if worker == 0:
            _call_all(calls.before[layer], -1)
            add_shared(counters[layer], READY, 1)
            _call_all(calls.meanwhile[layer], -1)
        wait_until(counters[layer], READY, 1)
        way = layers.found[layer].way
        place = add_shared(counters[layer], TAKEN, 1)
        while place < layers.found[layer].bands:
            _call_all(calls.phases[way, layer], layers.touched[layers.begins[layer] + place])
            place = add_shared(counters[layer], TAKEN, 1)
        add_shared(counters[layer], FINISHED, 1)
        wait_until(counters[layer], FINISHED, workers)


@numba.njit(inline="always")
def _call_all(calls, number):
    for place in range(calls.size):
        if calls[place].function == 0:
            break
        call(calls[place].function, calls[place].block, number)
