"""Currents of several synapses into one population, added up."""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase


@compiled_phase
def begin_sum(band, bands, total, numbers):
    """Set a band's sum to zero.

    total : float32, (rows, numbers, padded channels), flat
    numbers : pixels of a row times steps
    """
    rows = output_rows(band, bands)
    total[: (rows.end - rows.first) * numbers * rows.padded] = 0


@compiled_phase
def add_to_sum(band, bands, total, numbers, part, padded):
    """Add the currents of one of the synapses to a band's sum.

    total : float32, (rows, numbers, padded channels), flat
    numbers : pixels of a row times steps
    part : float32, (rows, numbers, `padded` channels), flat
    padded : channels of the part, filled up, which may be others than the sum's
    """
    rows = output_rows(band, bands)
    for number in range((rows.end - rows.first) * numbers):
        for channel in range(rows.channels):
            total[number * rows.padded + channel] += part[number * padded + channel]
