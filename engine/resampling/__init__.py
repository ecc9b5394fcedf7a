"""Learned resampling: pictures of another size by look-up tables that others trained (LeRF)."""

from .resample import Spiking, resample
from .tables import Tables, read_tables

__all__ = ["Spiking", "Tables", "read_tables", "resample"]
