"""Build a network for a picture's shape: bind arrays to kernels and order the layers."""

from .layers import Layer, Program, build_program

__all__ = ["Layer", "Program", "build_program"]
