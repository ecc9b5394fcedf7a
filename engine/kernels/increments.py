"""Only what has changed: currents of integers are brought up to date where levels that they read are not what they were.

A layer's current is linear in the levels that it reads. Where currents are sums of integers (see
engine/binding/integer_plan.py), nothing is rounded in whatever order they are added up: the current of a picture is that
of the picture before, plus the weights of what has changed, times by how much. So is an analog input's current, which is
no such sum, computed anew, but only at output pixels under which something has changed.

Which ones those are, `mark_dirty` says before a layer is run; all other pixels keep what they have. Of the rest,
`gather_dirty` walks as gather.py does, from changed level to changed level, or layers are run in full in those bands of
rows that have such pixels, whichever is sooner done (`choose_path`).
"""

from __future__ import annotations

import numba
from numba.extending import overload

from .band import decoded_rows, output_rows, plane_rows
from .bound_call import call
from .changes import READY, decode_changes_of_pixel
from .compilation import compiled_bare
from .dot import GROUP, LANES, add_groups, load_configuration, release_tiles
from .dot_band import block_of_sums
from .entries import CHUNK, turn_chunk
from .firing import fire_pixel
from .gathered import add_events, begin_block, enter_pixel, finished_pixel
from .planes import PLANE_GAP
from .quads import SumsBlock, less_each
from .shared_counter import ENTRIES, FINISHED, TAKEN, add_shared, read_shared, wait_until
from .sources import count_sources, source_at
from .window_block import store_pixel

FULL, CHANGES = 0, 1
"""Ways of bringing a layer up to date."""

OFFSET = 128
"""By how much weights are larger than they are, so that they are unsigned bytes."""

# --- Where something has changed -------------------------------------------------------------------------------------


@compiled_bare
def compare_pictures(_number, picture, kept, changed):
    """Which pixels of a picture, (H, W, C), are not those that were kept, which they become; (H, W) uint8."""
    for y in range(picture.shape[0]):
        row, before = picture[y].reshape(-1), kept[y].reshape(-1)
        differs = False
        for place in range(row.size):
            differs |= row[place] != before[place]
        changed[y] = 0
        if differs:
            for x in range(picture.shape[1]):
                for channel in range(picture.shape[2]):
                    changed[y, x] |= picture[y, x, channel] != kept[y, x, channel]
                    kept[y, x, channel] = picture[y, x, channel]


@compiled_bare
def join_changed(_number, changed, joined, first):
    """joined |= changed, (H, W) uint8; of the first one, joined = changed."""
    for y in range(changed.shape[0]):
        for x in range(changed.shape[1]):
            joined[y, x] = changed[y, x] if first else joined[y, x] | changed[y, x]


@compiled_bare
def clear_changed(_number, changed):
    """Forget changes; (H, W) uint8."""
    changed[:] = 0


@numba.njit(inline="always")
def _find_spans(changed, spans):
    """First and last + 1 column of each row in which something has changed."""
    width = changed.shape[1]
    for y in range(changed.shape[0]):
        first, end = 0, width
        while first < width and changed[y, first] == 0:
            first += 1
        while end > first and changed[y, end - 1] == 0:
            end -= 1
        spans[y, 0], spans[y, 1] = first, end


@numba.njit(inline="always")
def _mark_row(changed, taps, y, line, dirty):
    """Mark the dirty pixels of an output row; returns how many there are."""
    first, end = changed.shape[1], 0
    for tap in range(taps.rows.shape[1]):
        row = taps.rows[y, tap]
        if row >= 0 and taps.spans[row, 0] < taps.spans[row, 1]:
            first, end = min(first, taps.spans[row, 0]), max(end, taps.spans[row, 1])
    dirty[y] = 0
    if first >= end:
        return 0
    for tap in range(taps.rows.shape[1]):
        row = taps.rows[y, tap]
        if row >= 0:
            for x in range(first, end):
                line[taps.margin + x] |= changed[row, x]
    first_out, end_out = taps.reached[first, 0], taps.reached[end - 1, 1]
    for tap in range(taps.offsets.size):
        begin = taps.margin + taps.offsets[tap]
        for x in range(first_out, end_out):
            dirty[y, x] |= line[begin + x]
    for tap in range(taps.columns.shape[1]):
        for x in range(first_out, end_out):
            dirty[y, x] |= line[taps.margin + taps.columns[x, tap]]
    found = 0
    for x in range(first_out, end_out):
        found += dirty[y, x]
    line[taps.margin + first : taps.margin + end] = 0
    return found


@compiled_bare
def mark_dirty(_number, changed, taps, bands, dirty, touched, numbers):
    """Find out which output pixels read something that has changed, and choose how they are brought up to date.

    changed : (H, W) uint8, of the input
    taps : DirtyTaps
    dirty : (H, W) uint8, of the output; receives them
    touched : (bands,) int64, receives the bands that have such pixels
    numbers : DirtyNumbers
    """
    _find_spans(changed, taps.spans)
    found, pixels, rows = 0, 0, 0
    for band in range(bands.table.size):
        before = pixels
        for y in range(bands.table[band].first_row, bands.table[band].end_row):
            if numbers.all[0] != 0:
                dirty[y] = 1
                pixels += dirty.shape[1]
            else:
                pixels += _mark_row(changed, taps, y, taps.line, dirty)
        if pixels != before:
            touched[found] = band
            found += 1
            rows += bands.table[band].end_row - bands.table[band].first_row
    numbers.found[0], numbers.found[1], numbers.found[2] = found, pixels, rows


@compiled_bare
def choose_path(_number, sources, counters, costs, numbers):
    """Choose how the dirty pixels are brought up to date.

    sources : int64, layers that are read
    counters : (layers, ...) int64, see shared_counter.py
    costs : float64: from change to change, of an entry and of a dirty pixel; in full, of a dirty pixel and of a row of a
        touched band
    """
    entries = 0
    for place in range(sources.size):
        entries += read_shared(counters[sources[place]], ENTRIES)
    by_changes = entries * costs[0] + numbers.found[1] * costs[1]
    in_full = numbers.found[1] * costs[2] + numbers.found[2] * costs[3]
    pays = numbers.all[0] == 0 and by_changes < in_full
    numbers.found[3] = CHANGES if pays else FULL
    numbers.found[4] = entries


# --- Changes, unpacked -----------------------------------------------------------------------------------------------


@numba.njit(inline="always")
def _columns_read(decoded, spans, reach, width):
    """First and last + 1 column of what a band reads that is no further than `reach` from what has changed."""
    first, end = width, 0
    for row in range(decoded.first_row, decoded.first_row + decoded.rows):
        if spans[row, 0] < spans[row, 1]:
            first, end = min(first, spans[row, 0]), max(end, spans[row, 1])
    return (max(first - reach, 0), min(end + reach, width)) if first < end else (0, 0)


@compiled_bare
def decode_changes(band, bands, sources, spans, entries, row_keys):
    """Unpack the changes of the rows that a band reads, sorted by column; as `decode_rows`.

    sources : of ChangedSource, as `packed_sources` makes them
    spans : (H, 2) int64, see `mark_dirty`
    entries : ChangeEntries
    """
    decoded = decoded_rows(band, bands, entries)
    rows = decoded.rows
    place, total = 0, 0
    first, end = _columns_read(decoded, spans, 0, source_at(sources, 0).changed.shape[1])
    for x in range(first, end):
        for row in range(rows):
            index = x * (rows + 1) + row
            entries.begins[index], entries.totals[index] = place, total
            y = decoded.first_row + row
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                if source.changed[y, x]:
                    base = row * row_keys + source.channel_offset
                    place = decode_changes_of_pixel(source, y, x, base, place, entries)
                    total += source.totals[y, x]
        index = x * (rows + 1) + rows
        entries.begins[index], entries.totals[index] = place, total


@compiled_bare
def decode_levels(band, bands, sources, spans, reach, entries, row_keys):
    """Unpack all levels of the rows that a band reads, as far as dirty pixels read them; as `decode_rows`, of a step.

    sources : of LevelSource, as `packed_sources` makes them
    spans, reach : as in `gather_dirty`
    entries : Entries
    """
    decoded = decoded_rows(band, bands, entries)
    rows, begins, keys, values = decoded.rows, entries.begins, entries.keys, entries.values
    place, width = 0, source_at(sources, 0).width
    first, end = _columns_read(decoded, spans, reach, width)
    for x in range(first, end):
        for row in range(rows):
            begins[x * (rows + 1) + row] = place
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                kept, base = ((decoded.first_row + row) * width + x) * source.padded, row * row_keys
                for channel in range(source.channels):
                    # Written always, kept only where it is not silent.
                    level = source.levels[kept + channel]
                    keys[place] = base + source.channel_offset + channel
                    values[place] = source.emit[level]
                    place += level != 0
        begins[x * (rows + 1) + rows] = place


# --- From change to change -------------------------------------------------------------------------------------------


def less_offsets(block, entries, first, last):
    """What was added for the entries between two places in `begins`, less what weights were too large by."""


@overload(less_offsets, inline="always")
def _less_offsets(block, entries, first, last):
    if isinstance(block, SumsBlock):
        return lambda block, entries, first, last: less_each(
            block, OFFSET * (entries.totals[last] - entries.totals[first])
        )
    return lambda block, entries, first, last: block


@numba.njit(inline="always")
def _add_column(tables, phase, weights, weight_base, scale, decoded, block, top, column):
    """As that of gather.py, of weights that are larger than they are."""
    geometry = tables.geometry
    first_row, begins = decoded.first_row, decoded.entries.begins
    for number in range(phase.first_run, phase.end_run):
        run = tables.row_runs[number]
        begin = top + run.offset
        end = min(begin + run.rows, geometry.height)
        shift = weight_base + ((run.kernel_row - begin + first_row) * geometry.channels) * scale
        begin = max(begin, 0)
        if begin < end:
            place = column * (decoded.rows + 1) - first_row
            first, last = begins[place + begin], begins[place + end]
            if first < last:
                block = add_events(block, weights, shift, scale, decoded.entries, first, last)
                block = less_offsets(block, decoded.entries, place + begin, place + end)
    return block


@compiled_bare
def gather_dirty(band, bands, token, connections, entries, spans, reach, constant, neurons, dirty, kept, words):
    """Currents of a band's dirty pixels, and what their neurons fire; as `gather_band`.

    connections : GatherTables, and weights: float32, or OffsetIntegers
    entries : Entries of all that the band reads, or ChangeEntries
    spans : (H, 2) int64, see `mark_dirty`
    reach : how far from these columns are unpacked, too
    constant : Constant; what the sums are added to: of changes, the currents before them
    neurons : LadderNeurons or None
    dirty : (H, W) uint8
    kept : float32, (H, W, padded channels), flat, receives the currents
    words : uint8, (rows, W, padded channels), flat, of the band, receives the levels
    """
    tables, weights = connections
    rows, decoded = output_rows(band, bands), decoded_rows(band, bands, entries)
    geometry, columns = tables.geometry, tables.columns
    window = len(token.window)
    width = len(token.vectors) * len(token.lanes)
    block_width = len(token.row) * len(token.lanes)
    padded, divisor = rows.padded, geometry.divisor
    first_read, end_read = _columns_read(decoded, spans, reach, geometry.width)
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        first_column, kernel_columns = phase.first_column, phase.end_column - phase.first_column
        scale = (kernel_columns if window == 1 else window) * block_width
        block_weights = phase.kernel_rows * geometry.channels * scale
        step_y, step_x = geometry.output_step_y, geometry.output_step_x
        first_y = phase.first_y + (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y * step_y
        pixels = (geometry.output_width - phase.first_x + step_x - 1) // step_x
        for channel in range(0, padded, width):
            in_block = channel % block_width
            weight_base = phase.weights + channel // block_width * block_weights + in_block
            for y in range(first_y, rows.end, step_y):
                top = (y - phase.first_y) // step_y * geometry.input_step_y
                line = y * geometry.output_width + phase.first_x
                end = 0
                while end < pixels:
                    # The next pixels, side by side, that are dirty.
                    first = end
                    while first < pixels and dirty[y, phase.first_x + first * step_x] == 0:
                        first += 1
                    end = first
                    while end < pixels and dirty[y, phase.first_x + end * step_x] != 0:
                        end += 1
                    block = begin_block(token)
                    for ahead in range(first, end + window - 1 if first < end else first):
                        entering = line + min(ahead, pixels - 1) * step_x
                        block = enter_pixel(block, constant.values, entering * constant.stride + channel)
                        if window == 1:
                            for tap in range(kernel_columns):
                                reached = ahead * geometry.input_step_x + columns[first_column + tap]
                                column = reached if divisor == 1 else reached // divisor
                                if column >= first_read and column < end_read and column * divisor == reached:
                                    base = weight_base + (kernel_columns - 1 - tap) * block_width
                                    block = _add_column(
                                        tables, phase, weights, base, scale, decoded, block, top, column
                                    )
                        else:
                            reached = ahead + columns[first_column]
                            column = reached if divisor == 1 else reached // divisor
                            if column >= first_read and column < end_read and column * divisor == reached:
                                block = _add_column(
                                    tables, phase, weights, weight_base, scale, decoded, block, top, column
                                )
                        if ahead - window + 1 < first:
                            continue
                        pixel = line + (ahead - window + 1) * step_x
                        place = pixel * padded + channel
                        currents = finished_pixel(
                            block, weights, constant.values, channel, pixel * constant.stride + channel
                        )
                        store_pixel(currents, kept, place, padded)
                        if neurons is not None:
                            local = place - rows.first * geometry.output_width * padded
                            fire_pixel(currents, neurons, pixel, channel, words, local)


# --- In full ---------------------------------------------------------------------------------------------------------


@compiled_bare
def spread_levels(band, bands, sources, memory, layout):
    """Fill planes with the levels of all rows that a band reads, and zeros around them; as `fill_planes`.

    sources : of LevelSource, as `packed_sources` makes them
    """
    planes = plane_rows(band, bands, memory)
    first_row, target = planes.first_row, planes.levels
    height, width = source_at(sources, 0).height, source_at(sources, 0).width
    target[: planes.rows * layout.row_bytes + PLANE_GAP] = 0
    for row in range(max(first_row, 0), min(first_row + planes.rows, height)):
        base = (row - first_row) * layout.row_bytes + layout.edge
        for x in range(width):
            # In order: what is written too much, always zeros, is overwritten by the next source or pixel.
            for number in range(count_sources(sources)):
                source = source_at(sources, number)
                place = base + source.channel_offset
                kept = (row * width + x) * source.padded
                if source.shift >= 0:
                    for channel in range(0, source.channels, CHUNK):
                        turn_chunk(source.shift, source.levels, kept + channel, target, place + channel)
                else:
                    for channel in range(source.channels):
                        target[place + channel] = source.values[source.levels[kept + channel]]
            base += layout.pixel_bytes


@numba.njit(inline="always")
def _dirty_groups(dirty, phase, steps, ends, pixels, groups):
    """List the groups of pixels of some rows of a phase that have dirty ones; returns how many there are."""
    found = 0
    in_row = (pixels + GROUP - 1) // GROUP
    for row in range(ends[0], ends[1]):
        y = phase.first_y + row * steps[0]
        for group in range(in_row):
            any_dirty = 0
            for x in range(group * GROUP, min((group + 1) * GROUP, pixels)):
                any_dirty |= dirty[y, phase.first_x + x * steps[1]]
            groups[found] = row * in_row + group
            found += any_dirty != 0
    return found


@compiled_bare
def dot_dirty(band, bands, tokens, tables, weights, scratch, groups, constant, neurons, dirty, kept, words):
    """Currents of a band's dirty pixels, of all levels, silent ones included; as `dot_band`, of a single step.

    groups : int64, memory for the numbers of all groups of pixels of a band
    neurons, dirty, kept, words : as in `gather_dirty`
    """
    rows, planes = output_rows(band, bands), plane_rows(band, bands, scratch.planes)
    token, one_pixel = tokens.dot, tokens.block
    geometry, layout, segments = tables.geometry, tables.layout, tables.segments
    sums, scale, levels = scratch.sums, weights.scale, planes.levels
    padded, width = rows.padded, len(token.vectors) * LANES
    stride = geometry.input_step_x * layout.pixel_bytes
    if len(token.kind) == 3:
        load_configuration(scratch.tiles)
    step_y, step_x = geometry.output_step_y, geometry.output_step_x
    for number in range(tables.phases.size):
        phase = tables.phases[number]
        first_y = (max(rows.first - phase.first_y, 0) + step_y - 1) // step_y
        end_y = (max(rows.end - phase.first_y, 0) + step_y - 1) // step_y
        pixels = max(geometry.output_width - phase.first_x + step_x - 1, 0) // step_x
        in_row = (pixels + GROUP - 1) // GROUP
        found = _dirty_groups(dirty, phase, (step_y, step_x), (first_y, end_y), pixels, groups)
        for channel in range(0, padded, width):
            weight_base = phase.weights + channel // width * phase.block_bytes
            for first in range(0, found, 2):
                # Two groups are added up together.
                last = min(first + 1, found - 1)
                begin = _begin_of_group(groups[first], in_row, geometry, layout, planes, stride)
                other = _begin_of_group(groups[last], in_row, geometry, layout, planes, stride)
                ends = (phase.first_segment, phase.end_segment)
                add_groups(token, segments, ends, levels, (begin, other), stride, weights.integers, weight_base, sums, 0)
                for each in range(last - first + 1):
                    y = phase.first_y + groups[first + each] // in_row * step_y
                    x = groups[first + each] % in_row * GROUP
                    for k in range(min(pixels - x, GROUP)):
                        column = phase.first_x + (x + k) * step_x
                        if dirty[y, column] == 0:
                            continue
                        pixel = y * geometry.output_width + column
                        index, place = (each * GROUP + k) * width, pixel * constant.stride + channel
                        block = block_of_sums(one_pixel, sums, index, 0, scale, constant.values, channel, place)
                        store_pixel(block, kept, pixel * padded + channel, padded)
                        if neurons is not None:
                            local = (pixel - rows.first * geometry.output_width) * padded + channel
                            fire_pixel(block, neurons, pixel, channel, words, local)
    if len(token.kind) == 3:
        release_tiles()


@numba.njit(inline="always")
def _begin_of_group(group, in_row, geometry, layout, planes, stride):
    """Where what a group of output pixels reads begins among the planes."""
    top = (group // in_row * geometry.input_step_y - planes.first_row) * layout.row_bytes
    return top + layout.edge + group % in_row * GROUP * stride


@compiled_bare
def write_output(band, bands, kept, dirty, output):
    """Bring a readout, (O, H, W), up to date where a band has dirty pixels."""
    rows = output_rows(band, bands)
    width = dirty.shape[1]
    for channel in range(rows.channels):
        for y in range(rows.first, rows.end):
            for x in range(width):
                if dirty[y, x]:
                    # A sum that begins at 0, as of steps: there is no zero with a sign.
                    output[channel, y, x] = kept[(y * width + x) * rows.padded + channel] + output.dtype.type(0)


# --- Counting --------------------------------------------------------------------------------------------------------


@compiled_bare
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
        way = layers.found[layer, 3]
        place = add_shared(counters[layer], TAKEN, 1)
        while place < layers.found[layer, 0]:
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
