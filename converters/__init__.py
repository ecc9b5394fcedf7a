"""Turn trained networks into spiking ones."""

if __name__ != "spikeunet.converters":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet.converters")

from .architectures import ARCHITECTURES, Architecture, Blueprint, Layers
from .batch_norm import fold_batch_norm
from .calibration import calibration_pictures
from .channel_pruning import Pruning, prune_channels
from .check import relative_error
from .convert import NORMALIZATIONS, SCALES, convert
from .nir import events_from_nir, events_to_nir, read_nir, write_nir
from .normalization import activation_scales, normalize
from .onnx import Imported, read_onnx
from .quantization import quantize_weights
from .spikingformer import read_spikingformer
from .state_dict import read_state_dict
from .tuning import Tuner
from .weights import Weights, load_weights, read_weights

__all__ = [
    "ARCHITECTURES",
    "NORMALIZATIONS",
    "SCALES",
    "Architecture",
    "Blueprint",
    "Imported",
    "Layers",
    "Pruning",
    "Tuner",
    "Weights",
    "activation_scales",
    "calibration_pictures",
    "convert",
    "events_from_nir",
    "events_to_nir",
    "fold_batch_norm",
    "load_weights",
    "normalize",
    "prune_channels",
    "quantize_weights",
    "read_nir",
    "read_onnx",
    "read_spikingformer",
    "read_state_dict",
    "read_weights",
    "relative_error",
    "write_nir",
]
