"""What computes the current of a layer's bands: a file for each way, and which of them it is in a group of steps."""

from .choice import part_of
from .part import Inputs, Part, Target

__all__ = ["Inputs", "Part", "Target", "part_of"]
