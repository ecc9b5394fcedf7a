"""What a band of a layer consists of: the rows that it puts out and those that it reads, as kernels look them up."""

from __future__ import annotations

import numba

from .arguments import Decoded, OutputRows, Planes

# Kernels that compute a phase of a band take as their first arguments `band`, its number, and `bands`, a BandTable.


@numba.njit(inline="always")
def output_rows(band, bands):
    """A band's output rows."""
    return OutputRows(bands.table[band].first_row, bands.table[band].end_row, bands.padded, bands.channels)


@numba.njit(inline="always")
def decoded_rows(band, bands, entries):
    """A band's input rows, as events that are unpacked."""
    first, end = bands.table[band].first_input, bands.table[band].end_input
    return Decoded(first, end - first, entries)


@numba.njit(inline="always")
def plane_rows(band, bands, levels):
    """A band's input rows, as levels that are spread out."""
    first, end = bands.table[band].first_input, bands.table[band].end_input
    return Planes(first, end - first, levels)
