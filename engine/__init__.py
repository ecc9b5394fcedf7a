"""Event-driven spiking neural networks on a CPU: describe, load, simulate and count.

The names below are the whole public surface; `spikeunet.converters` turns trained networks into spiking ones.
"""

if __name__ != "spikeunet.engine":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet.engine")

from . import start  # noqa: F401 - the checks before all else
from .dense import forward, quantised_twin, twin_bits
from .encoders import Delta, Events, EventStream, Foveal, Latency, RankOrder, Rate, bin_events, read_events
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
from .graph import (
    FanOut,
    Input,
    Network,
    Neurons,
    Node,
    Output,
    Projection,
    Rows,
    Weighted,
    ZeroFanOut,
    even_fan_out,
)
from .increments import LayerIncrement, Savings
from .layers import (
    Add,
    Attention,
    AttentionGates,
    AvgPool2d,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    MeanConv2d,
    PixelShuffle,
    PixelUnshuffle,
    Scale,
    SumPool2d,
    Upsample,
    padded_rows,
    register_layer,
    window_fan_out,
    window_rows,
)
from .memory import clear_caches
from .models import list_models, load_model
from .neurons import (
    AdaptiveLeakyIntegrateAndFire,
    AlphaNeuron,
    BurstNeuron,
    CurrentBasedLeakyIntegrateAndFire,
    EscapeNoiseLeakyIntegrateAndFire,
    Heterogeneous,
    IntegrateAndFire,
    Integrator,
    InterpolatedLeakyIntegrateAndFire,
    Izhikevich,
    Lapicque,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    MultiThreshold,
    PerfectIntegrateAndFire,
    RefractoryLeakyIntegrateAndFire,
    SignedMultiThreshold,
    register_neuron,
)
from .operations import InputOperations, NeuronOperations, Operations, SynapseOperations, SynapticEvents
from .operations.energy import ENERGY_MODELS, EnergyEstimate, EnergyModel, estimate_energy
from .pictures.frame_writer import FrameWriter, write_frames
from .pictures.frames import read_frames
from .pictures.metrics import psnr, ssim
from .pictures.noise import add_noise
from .pictures.noise_estimate import NoiseEstimate, estimate_noise
from .pictures.picture_files import read_picture, write_picture
from .pictures.rain import add_rain
from .simulation import Result, State, simulate
from .stream import Stream
from .tasks.classification import Classified, classify
from .tasks.denoising import Denoised, denoise
from .tasks.deraining import Derained, derain
from .tasks.frame_streams import DenoiseStream, SegmentStream
from .tasks.resampling import Resampled, resample
from .tasks.segmentation import Segmented, segment

__all__ = [
    "ENERGY_MODELS",
    "AdaptiveLeakyIntegrateAndFire",
    "Add",
    "AlphaNeuron",
    "Attention",
    "AttentionGates",
    "AvgPool2d",
    "BurstNeuron",
    "Classified",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CurrentBasedLeakyIntegrateAndFire",
    "Delta",
    "DenoiseStream",
    "Denoised",
    "Derained",
    "EnergyEstimate",
    "EnergyModel",
    "EscapeNoiseLeakyIntegrateAndFire",
    "EventQueue",
    "EventStream",
    "Events",
    "FanOut",
    "Flatten",
    "Foveal",
    "FrameWriter",
    "GlobalAvgPool2d",
    "GraphError",
    "Heterogeneous",
    "Input",
    "InputError",
    "InputOperations",
    "IntegrateAndFire",
    "Integrator",
    "InterpolatedLeakyIntegrateAndFire",
    "Izhikevich",
    "Lapicque",
    "Latency",
    "LayerIncrement",
    "LeakyIntegrateAndFire",
    "LeakyIntegrator",
    "Linear",
    "MaxPool2d",
    "MeanConv2d",
    "ModelFileError",
    "MultiThreshold",
    "Network",
    "NeuronError",
    "NeuronOperations",
    "Neurons",
    "Node",
    "NoiseEstimate",
    "Operations",
    "Output",
    "PerfectIntegrateAndFire",
    "PictureError",
    "PictureWarning",
    "PixelShuffle",
    "PixelUnshuffle",
    "Projection",
    "RangeError",
    "RankOrder",
    "Rate",
    "RefractoryLeakyIntegrateAndFire",
    "Resampled",
    "Result",
    "Rows",
    "Savings",
    "Scale",
    "SegmentStream",
    "Segmented",
    "SignedMultiThreshold",
    "SpikeunetError",
    "State",
    "StateDictError",
    "Stream",
    "SumPool2d",
    "SynapseOperations",
    "SynapticEvents",
    "Upsample",
    "Weighted",
    "ZeroFanOut",
    "add_noise",
    "add_rain",
    "bin_events",
    "classify",
    "clear_caches",
    "denoise",
    "derain",
    "estimate_energy",
    "estimate_noise",
    "even_fan_out",
    "forward",
    "list_models",
    "load_model",
    "padded_rows",
    "psnr",
    "quantised_twin",
    "read_events",
    "read_frames",
    "read_picture",
    "register_layer",
    "register_neuron",
    "resample",
    "save_model",
    "segment",
    "simulate",
    "ssim",
    "twin_bits",
    "window_fan_out",
    "window_rows",
    "write_frames",
    "write_picture",
]
