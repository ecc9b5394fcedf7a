"""Describe a network: immutable nodes, their edges by name, and the shapes that follow from a picture's shape."""

from .network import Network
from .nodes import (
    UNCHOSEN,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Input,
    Linear,
    Neurons,
    Node,
    Output,
    Shape,
    Synapses,
)

__all__ = [
    "UNCHOSEN",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Input",
    "Linear",
    "Network",
    "Neurons",
    "Node",
    "Output",
    "Shape",
    "Synapses",
]
