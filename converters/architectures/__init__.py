"""Architectures that are known by name, each one file: what its keys mean, and what no key says."""

from .blueprint import Blueprint
from .layers import Layers
from .recognition import AUTO, fitting, recognised
from .registry import ARCHITECTURES, Architecture

__all__ = ["ARCHITECTURES", "AUTO", "Architecture", "Blueprint", "Layers", "fitting", "recognised"]
