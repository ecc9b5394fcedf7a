"""Build a network for a picture's shape: bind arrays to kernels and order the layers."""

from .kernel_choice import AllowedKernels, allowed_kernels
from .layer import Layer
from .program import Program, build_program

__all__ = ["AllowedKernels", "Layer", "Program", "allowed_kernels", "build_program"]
