"""Event-driven spiking neural networks on a CPU: describe, load, simulate and count.

The names below are the whole public surface; `spikeunet.converters` turns trained networks into spiking ones.
"""

if __name__ != "spikeunet.engine":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet.engine")

from .denoising import Denoised, denoise
from .dense import forward
from .energy import ENERGY_MODELS, EnergyEstimate, EnergyModel, estimate_energy
from .errors import (
    GraphError,
    InputError,
    ModelFileError,
    NeuronError,
    PictureError,
    SpikeunetError,
    StateDictError,
)
from .events import EventQueue
from .graph import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Node, Output
from .metrics import psnr, ssim
from .model_file import save_model
from .models import list_models, load_model
from .neurons import IntegrateAndFire, LeakyIntegrateAndFire, MultiThreshold
from .noise import add_noise
from .operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .pictures import read_picture, write_picture
from .simulation import Result, simulate

__all__ = [
    "ENERGY_MODELS",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Denoised",
    "EnergyEstimate",
    "EnergyModel",
    "EventQueue",
    "GraphError",
    "Input",
    "InputError",
    "IntegrateAndFire",
    "LeakyIntegrateAndFire",
    "Linear",
    "ModelFileError",
    "MultiThreshold",
    "Network",
    "NeuronError",
    "NeuronOperations",
    "Neurons",
    "Node",
    "Operations",
    "Output",
    "PictureError",
    "Result",
    "SpikeunetError",
    "StateDictError",
    "SynapseOperations",
    "SynapticEvents",
    "add_noise",
    "denoise",
    "estimate_energy",
    "forward",
    "list_models",
    "load_model",
    "psnr",
    "read_picture",
    "save_model",
    "simulate",
    "ssim",
    "write_picture",
]
