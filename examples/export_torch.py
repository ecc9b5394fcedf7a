"""Export a PyTorch network with its graph, for `spikeunet convert`; run it where your network runs.

    python export_torch.py my_package.my_module:make_network 3x64x64 -o network.onnx
    spikeunet convert network.onnx -o model.npz --calibration FOLDER

`make_network` is a function without arguments that returns the trained `torch.nn.Module`, or the module itself. In a
program of your own, `export(network, example, "network.onnx")` does the same. PyTorch and its exporter are needed
(`pip install torch onnx onnxscript`), and nothing of spikeunet.

Two files are written: network.onnx, and network.npz with inputs and the outputs that PyTorch gives for them, with which
spikeunet compares the converted network by itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

OPSET = 18
PICTURES = 2
"""Examples in network.npz."""


def export(network: torch.nn.Module, example: torch.Tensor, path: str | Path, *, open_size: bool = False) -> None:
    """Write an ONNX file, and beside it an NPZ file with inputs and outputs.

    Parameters
    ----------
    network : torch.nn.Module
        Is exported in evaluation mode, on the CPU; left as it was.
    example : (N, C, H, W), (N, C, length) or (N, C) float tensor
        Such as the network is trained on.
    path : path ending in .onnx
    open_size : bool
        Whether the file leaves height and width open. Then sizes that the graph computes of them may stay in it.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: the name must end in .onnx")
    training, device = network.training, next((p.device for p in network.parameters()), torch.device("cpu"))
    channels_last = any(p.ndim == 4 and not p.is_contiguous() for p in network.parameters())
    # Of channels that come last, torch.export writes strides into the graph (as_strided), which no operator has.
    network.eval().to("cpu", memory_format=torch.contiguous_format)
    example = example.detach().to("cpu", torch.float32, memory_format=torch.contiguous_format)
    try:
        with torch.no_grad():
            outputs = network(example)
            if not isinstance(outputs, torch.Tensor):
                raise TypeError(f"the network must return one tensor (got {type(outputs).__name__})")
            _write(network, example, path, open_size=open_size)
    finally:
        kept = torch.channels_last if channels_last else torch.preserve_format
        network.train(training).to(device, memory_format=kept)
    np.savez(path.with_suffix(".npz"), inputs=example.numpy(), outputs=outputs.numpy())


def _write(network: torch.nn.Module, example: torch.Tensor, path: Path, *, open_size: bool) -> None:
    """By torch.export where that can follow the network, else by the older exporter, which records one run."""
    open_axes = [0, *range(2, example.ndim)] if open_size else [0]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # In one file: weights of more than 2 GiB would need `external_data=True` and a second one beside it.
        made = Path(folder) / path.name
        try:
            dynamic = (dict.fromkeys(open_axes, torch.export.Dim.DYNAMIC),)
            options: dict[str, Any] = {"dynamic_shapes": dynamic, "external_data": False}
            torch.onnx.export(network, (example,), made, dynamo=True, opset_version=OPSET, verbose=False, **options)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other exporter may succeed
            reason = " ".join(str(error).split())[:200]
            print(f"torch.export failed ({type(error).__name__}: {reason}); recording a run instead", file=sys.stderr)
            axes = {"input": {axis: f"axis{axis}" for axis in open_axes}}
            options = {"input_names": ["input"], "dynamic_axes": axes, "opset_version": 17}
            torch.onnx.export(network, (example,), made, dynamo=False, **options)
        made.replace(path)


def _network(name: str) -> torch.nn.Module:
    """What MODULE:NAME is, or returns."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, "")
    found = getattr(importlib.import_module(module), attribute)
    network = found if isinstance(found, torch.nn.Module) else found()
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module or return one (got {type(network).__name__})")
    return network


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", metavar="MODULE:NAME", help="a network, or a function that returns one")
    parser.add_argument("shape", metavar="CxHxW", help="of what it reads, such as 3x64x64; C alone for features")
    parser.add_argument("-o", "--output", default="network.onnx", metavar="FILE.onnx")
    parser.add_argument("--open-size", action="store_true", help="leave height and width open")
    arguments = parser.parse_args()
    shape = [int(size) for size in arguments.shape.split("x")]
    # Uniform noise reaches every layer; real inputs from your data check more: call `export` with them.
    example = torch.rand(PICTURES, *shape, generator=torch.Generator().manual_seed(0))
    export(_network(arguments.network), example, arguments.output, open_size=arguments.open_size)
    print(f"{arguments.output}, and {Path(arguments.output).with_suffix('.npz')} for --check")


if __name__ == "__main__":
    main()
