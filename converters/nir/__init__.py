"""Networks in NIR, the Neuromorphic Intermediate Representation, read and written (extra nir)."""

from .data import events_from_nir, events_to_nir
from .read_nir import is_nir, read_nir
from .write_nir import write_nir

__all__ = ["events_from_nir", "events_to_nir", "is_nir", "read_nir", "write_nir"]
