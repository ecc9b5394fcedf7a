"""Describe a network: immutable nodes, their edges by name, and the shapes that follow from a picture's shape."""

from .file_weights import FILE_WEIGHTS, ann_macs, file_shares
from .network import Network
from .node import UNCHOSEN, Input, Join, Neurons, Node, Output, Shape
from .parameters import weights_and_biases
from .reach import FanOut, ZeroFanOut, even_fan_out
from .synapses import CurrentSum, Projection, Rows, Synapses, Value, Weighted

__all__ = [
    "FILE_WEIGHTS",
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
    "ann_macs",
    "even_fan_out",
    "file_shares",
    "weights_and_biases",
]
