"""Read trained weights from files of other programs: no framework takes part, and nothing in a file is ever run."""

from .keras_config import KerasArrays, KerasLayer
from .weights import Weights, from_mapping, load_weights, read_weights

__all__ = ["KerasArrays", "KerasLayer", "Weights", "from_mapping", "load_weights", "read_weights"]
