"""Currents of several synapses into one population, added up."""

from __future__ import annotations

from .band import output_rows
from .bound_call import compiled_phase


@compiled_phase
def begin_sum(band, bands, total, numbers):
    """Let the sum of a band begin with nothing.

    total : float32, (rows, numbers, padded channels), flat
    numbers : pixels of a row times steps
    """
    rows = output_rows(band, bands)
    total[: (rows.end - rows.first) * numbers * rows.padded] = 0


@compiled_phase
def add_to_sum(band, bands, total, numbers, part, padded):
    """Add the currents of one of the synapses, (rows, numbers, `padded` channels), flat, to those of a band."""
    rows = output_rows(band, bands)
    for number in range((rows.end - rows.first) * numbers):
        for channel in range(rows.channels):
            total[number * rows.padded + channel] += part[number * padded + channel]
