"""Learned resampling: pictures of another size by look-up tables that others trained (LeRF)."""

from .resample import MARGIN, Spiking, prefiltered, resample, shapes_of
from .tables import Tables, read_tables

__all__ = ["MARGIN", "Spiking", "Tables", "prefiltered", "read_tables", "resample", "shapes_of"]
