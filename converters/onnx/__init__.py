"""Networks by their graph: ONNX files become networks of the engine, operator by operator."""

from .imported import Imported
from .read_onnx import examples_beside, is_onnx, read_onnx

__all__ = ["Imported", "examples_beside", "is_onnx", "read_onnx"]
