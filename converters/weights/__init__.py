"""Read trained weights from files of other programs: no framework takes part, and nothing in a file is ever run."""

from .weights import Weights, from_mapping, load_weights, read_weights

__all__ = ["Weights", "from_mapping", "load_weights", "read_weights"]
