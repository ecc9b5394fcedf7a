"""Event-driven spiking neural networks on a CPU: describe, load, simulate and count.

The names below are the whole public surface; `spikeunet.converters` turns trained networks into spiking ones.
"""

if __name__ != "spikeunet.engine":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet.engine")

from . import start  # noqa: F401 - the checks before all else
from .dense import forward
from .errors import (
    GraphError,
    InputError,
    ModelFileError,
    NeuronError,
    PictureError,
    PictureWarning,
    RangeError,
    SpikeunetError,
    StateDictError,
)
from .events import EventQueue
from .files.model_file import save_model
from .graph import AvgPool2d, Concat, Conv2d, ConvTranspose2d, Input, Linear, Network, Neurons, Node, Output
from .memory import clear_caches
from .models import list_models, load_model
from .neurons import (
    BurstNeuron,
    IntegrateAndFire,
    LeakyIntegrateAndFire,
    MultiThreshold,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
    register_neuron,
)
from .operations import NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .operations.energy import ENERGY_MODELS, EnergyEstimate, EnergyModel, estimate_energy
from .pictures.metrics import psnr, ssim
from .pictures.noise import add_noise
from .pictures.picture_files import read_picture, write_picture
from .simulation import Result, simulate
from .tasks.denoising import Denoised, denoise
from .tasks.segmentation import Segmented, segment

__all__ = [
    "ENERGY_MODELS",
    "AvgPool2d",
    "BurstNeuron",
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
    "PictureWarning",
    "RangeError",
    "RefractoryLeakyIntegrateAndFire",
    "Result",
    "Segmented",
    "SignedMultiThreshold",
    "SpikeunetError",
    "StateDictError",
    "SynapseOperations",
    "SynapticEvents",
    "add_noise",
    "clear_caches",
    "denoise",
    "estimate_energy",
    "forward",
    "list_models",
    "load_model",
    "psnr",
    "read_picture",
    "register_neuron",
    "save_model",
    "segment",
    "simulate",
    "ssim",
    "write_picture",
]
