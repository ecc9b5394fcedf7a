"""Networks in NIR, the Neuromorphic Intermediate Representation, read and written (extra nir)."""

from .read_nir import is_nir, read_nir
from .write_nir import write_nir

__all__ = ["is_nir", "read_nir", "write_nir"]
