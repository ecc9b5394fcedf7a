"""What a denoiser's training begins with: the weights of files, checked, for train_fast_denoiser.py."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import torch
from denoising_unet import SIZES, ColourDenoisingUNet, DenoisingUNet, start_colour, start_from, widths_of
from resized_channels import resize
from torch import Tensor, nn

from spikeunet.engine import InputError, Weighted, load_model

REMEDY = "give a state dict of this network, or a model file whose channels were not split"


def archive(stream: BinaryIO) -> np.lib.npyio.NpzFile:
    """A file of several arrays, opened."""
    opened = np.load(stream)
    if isinstance(opened, np.ndarray):
        raise TypeError("is a single array")
    return opened


def read_state(option: str, path: Path) -> dict[str, Tensor]:
    """The weights of a state dict in a file, or of a model that was converted from such a network."""
    try:
        with path.open("rb") as stream, archive(stream) as saved:
            is_model = "topology" in saved
            arrays = {} if is_model else {name: saved[name].astype(np.float32) for name in saved}
        if is_model:
            layers = [node for node in load_model(path).nodes if isinstance(node, Weighted)]
            arrays = {f"{node.name}.{part}": getattr(node, part) for node in layers for part in ("weight", "bias")}
        return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}
    except (OSError, EOFError, TypeError, ValueError, BadZipFile, InputError) as error:
        raise SystemExit(f"{option} {path}: {str(error).splitlines()[0]}; {REMEDY}") from None


def of_widths(
    state: dict[str, Tensor], network: DenoisingUNet, options: argparse.Namespace, noisy: Tensor
) -> dict[str, Tensor]:
    """A network's state as one of this network's widths, see resized_channels.py."""
    widths = widths_of(state)
    if widths == network.widths or len(widths) != len(network.widths):
        return state
    if not options.wake and any(mine > other for mine, other in zip(network.widths, widths, strict=True)):
        said = f"has {', '.join(map(str, widths))} channels and this network {', '.join(map(str, network.widths))}"
        raise SystemExit(f"--start {options.start}: {said}; give --wake, so that those on top take part")
    channels, bypass = state["stem.weight"].shape[1], "bypass.weight" in state
    trained, resized = (
        DenoisingUNet(channels, **{**SIZES[options.size], "widths": each}, bypass=bypass)
        for each in (widths, network.widths)
    )
    trained.load_state_dict(state)
    resize(resized, trained, noisy if noisy.shape[1] == channels else noisy.mean(1, keepdim=True))
    return resized.state_dict()


def begin(network: nn.Module, options: argparse.Namespace, noisy: Tensor) -> None:
    """Begin with the weights of the files that are named; noisy pictures tell which channels matter."""
    state, said = read_state("--start", options.start), f"--start {options.start}"
    try:
        if options.chrominance is not None:
            said += f", --chrominance {options.chrominance}"
            start_colour(network, state, read_state("--chrominance", options.chrominance))
        elif isinstance(network, DenoisingUNet):
            start_from(network, of_widths(state, network, options, noisy))
        elif isinstance(network, ColourDenoisingUNet) and "stem.weight" in state:
            raise SystemExit(f"{said}: a gray network is one of two parts; give the other one as --chrominance")
        else:
            network.load_state_dict(state)
    except KeyError as error:
        raise SystemExit(f"{said}: not of this network, it has no {error.args[0]}; {REMEDY}") from None
    except RuntimeError as error:
        raise _refused(said, error) from None


def _refused(said: str, error: RuntimeError) -> SystemExit:
    """Why PyTorch did not take a state: its first line says that there are errors, the last one which."""
    reason = f"{str(error).strip().splitlines()[-1].strip():.200}"
    return SystemExit(f"{said}: not of this network ({reason}); {REMEDY}")


@torch.no_grad()
def blend(network: nn.Module, options: argparse.Namespace) -> None:
    """Move the weights towards those of a second file, which were learnt from the same beginning."""
    other = copy.deepcopy(network)
    try:
        other.load_state_dict(read_state("--blend", options.blend))
    except RuntimeError as error:
        raise _refused(f"--blend {options.blend}", error) from None
    for weight, towards in zip(network.parameters(), other.parameters(), strict=True):
        weight.lerp_(towards, options.share)
