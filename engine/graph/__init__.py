"""Describe a network: immutable nodes, their edges by name, and the shapes that follow from a picture's shape."""

from .network import Network
from .node import UNCHOSEN, Input, Join, Neurons, Node, Output, Shape
from .reach import FanOut, ZeroFanOut, even_fan_out
from .synapses import CurrentSum, Projection, Rows, Synapses, Value, Weighted

__all__ = [
    "UNCHOSEN",
    "CurrentSum",
    "FanOut",
    "Input",
    "Join",
    "Network",
    "Neurons",
    "Node",
    "Output",
    "Projection",
    "Rows",
    "Shape",
    "Synapses",
    "Value",
    "Weighted",
    "ZeroFanOut",
    "even_fan_out",
]
