"""What learned resampling is made of: look-up tables that others trained (LeRF), networks in their place, means.

`spikeunet.engine.resample` enlarges by a spiking network, `resample_by_tables` by tables alone.
"""

from .by_tables import resample_by_tables
from .lookups import prefiltered, shapes_of
from .networks import MARGIN, WHOLE
from .tables import Tables, read_tables

__all__ = [
    "MARGIN",
    "WHOLE",
    "Tables",
    "prefiltered",
    "read_tables",
    "resample_by_tables",
    "shapes_of",
]
