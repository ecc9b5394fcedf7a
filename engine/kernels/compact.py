"""Write a band's non-zero words to the event queue."""

from __future__ import annotations

from .vector_block import compiled


@compiled
def compact_rows(words, rows, start, channels, levels):
    """Pack the active neurons of a band, the rows rows[0] to rows[1] - 1.

    words : uint64, (rows, W, padded channels), what the neurons of the band fired
    rows : first row, last row + 1, padded channels, channels
    start : (rows, W + 1) int64, receives where each pixel's entries begin
    channels : int32, levels : uint64; receive the entries, with room for all neurons of the band
    """
    base = 0
    place = 0
    for row in range(rows[1] - rows[0]):
        for x in range(start.shape[1] - 1):
            start[row, x] = place
            for channel in range(rows[3]):
                # Written always, kept only where the word is not zero: cheaper than a branch that is hard to predict.
                word = words[base + channel]
                channels[place] = channel
                levels[place] = word
                place += word != 0
            base += rows[2]
        start[row, start.shape[1] - 1] = place
