"""Turn trained networks into spiking ones."""

if __name__ != "spikeunet.converters":
    raise ImportError("this folder is a part of spikeunet: install it and import spikeunet.converters")

from .architectures import ARCHITECTURES, Architecture
from .batch_norm import fold_batch_norm
from .calibration import calibration_pictures
from .convert import NORMALIZATIONS, convert
from .normalization import activation_scales, normalize
from .quantization import quantize_weights
from .state_dict import read_state_dict
from .weights import Weights, load_weights, read_weights

__all__ = [
    "ARCHITECTURES",
    "NORMALIZATIONS",
    "Architecture",
    "Weights",
    "activation_scales",
    "calibration_pictures",
    "convert",
    "fold_batch_norm",
    "load_weights",
    "normalize",
    "quantize_weights",
    "read_state_dict",
    "read_weights",
]
