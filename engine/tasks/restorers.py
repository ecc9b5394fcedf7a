"""Networks that restore pictures, denoisers and derainers: which are some, and what they put out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import Network
from ..pictures.fitting import smallest_size
from .endings import check_elementwise
from .inference import model_for, named

RESTORING = ("denoise", "derain")
"""Tasks whose networks put out pictures, or what is to be taken off them."""

PREDICTIONS = ("noise", "picture")
"""What a denoiser may put out, as "predicts" in its metadata says: the noise (also where nothing is said), or the clean
picture itself."""


def restore(noisy: NDArray[np.float32], output: NDArray[np.float32], predicts: str = "noise") -> NDArray[np.float32]:
    """The picture that an output means, (H, W) or (H, W, C), clipped to [0, 1].

    `predicts` is one of PREDICTIONS: noise is taken off the noisy picture. `output` is (N, O, H, W): a gray network's
    N pictures are the colour channels.
    """
    found = as_shown(output, noisy.shape)
    restored: NDArray[np.float32] = np.clip(found if predicts == "picture" else noisy - found, 0, 1)
    return restored


def as_shown(output: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """What a network puts out, (N, O, H, W), as (H, W) or (H, W, C)."""
    return output.transpose(2, 3, 0, 1).reshape(shape)


def prediction_in(metadata: Mapping[str, Any]) -> str:
    """What a denoiser with such metadata puts out, one of PREDICTIONS; InputError where they say something else."""
    found = metadata.get("predicts", PREDICTIONS[0])
    if not isinstance(found, str) or found not in PREDICTIONS:
        raise InputError(
            f"the model's metadata must say that it predicts {' or '.join(PREDICTIONS)} (got {found!r:.80})"
        )
    return found


def denoiser(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is a denoiser; InputError otherwise."""
    return check_restorer(model_for("denoise", model), model, "denoiser")


def check_restorer(network: Network, model: object, kind: str) -> Network:
    """The network, where it puts out a picture like the one that it takes; `model` and `kind` are for messages."""
    prediction_in(network.metadata)
    check_elementwise(network.metadata)
    height, width = smallest_size(network)
    outputs = network.shapes((network.input.channels, height, width))[network.output.name]
    if outputs != (network.input.channels, height, width):
        raise InputError(
            f"the model {named(model)} puts out {outputs[0]}x{outputs[1]}x{outputs[2]} for a picture of "
            f"{network.input.channels}x{height}x{width}; a {kind} puts out what it takes"
        )
    return network


def check_colors(network: Network, colors: int) -> None:
    """InputError where the network cannot take pictures of so many colour channels, one by one or together."""
    wanted = network.input.channels
    if wanted not in (1, colors):
        kind = "a gray picture" if colors == 1 else f"{colors} colour channels"
        raise InputError(f"the model takes pictures of {wanted} channels and got {kind}; choose a gray model")
