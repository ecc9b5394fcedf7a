"""The artificial network in OpenVINO: float32, bfloat16, and 8 bits from the quantised model of _peer_int8.py.

Each at its best setting for the time of one picture: compiled for the picture's size, latency as the hint, one stream
with all threads. OpenVINO has an integer kernel for what the ONNX model in QDQ form says, and picks the widest
instructions that `ONEDNN_MAX_CPU_ISA` allows, AMX among them.
"""

from __future__ import annotations

import numpy as np
from _peer_ann import onnx_model
from _peer_int8 import int8_model

from spikeunet.engine import Network


class OpenVinoAnn:
    """OpenVINO's CPU plug-in.

    Parameters
    ----------
    network : Network
    threads : int
    precision : str
        Of the arithmetic: "f32", "bf16", or "int8" for the quantised model.
    """

    def __init__(self, network: Network, threads: int, precision: str = "f32") -> None:
        import openvino

        model = int8_model(network) if precision == "int8" else onnx_model(network)
        self._core = openvino.Core()
        self._written = model.SerializeToString()
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        self._requests: dict[tuple[int, ...], object] = {}

    def run(self, picture: np.ndarray) -> np.ndarray:
        """Output (O, H, W) for a picture (C, H, W) float32."""
        if picture.shape not in self._requests:
            self._requests[picture.shape] = self._compiled(picture.shape).create_infer_request()
        return self._requests[picture.shape].infer({0: picture[None]})[0][0]

    def _compiled(self, shape: tuple[int, ...]):
        model = self._core.read_model(self._written)
        model.reshape({model.input(0): [1, *shape]})
        return self._core.compile_model(model, "CPU", self._settings)
