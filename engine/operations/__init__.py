"""The ledger of operations: exact counts by node, step and threshold, with a definition for each of them."""

from .definitions import DEFINITIONS
from .ledger import Operations
from .nodes import InputOperations, NeuronOperations, SynapseOperations, SynapticEvents

__all__ = [
    "DEFINITIONS",
    "InputOperations",
    "NeuronOperations",
    "Operations",
    "SynapseOperations",
    "SynapticEvents",
]
