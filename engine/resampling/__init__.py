"""Learned resampling: larger pictures by a small spiking network, or by look-up tables that others trained (LeRF)."""

from .networks import DEFAULT_MODEL, MARGIN, WHOLE, Spiking, resampler
from .resample import prefiltered, resample, shapes_of
from .tables import Tables, read_tables

__all__ = [
    "DEFAULT_MODEL",
    "MARGIN",
    "WHOLE",
    "Spiking",
    "Tables",
    "prefiltered",
    "read_tables",
    "resample",
    "resampler",
    "shapes_of",
]
