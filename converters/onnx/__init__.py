"""Networks by their graph: ONNX files become networks of the engine, operator by operator."""

from .imported import Imported
from .read_onnx import is_onnx, read_onnx

__all__ = ["Imported", "is_onnx", "read_onnx"]
