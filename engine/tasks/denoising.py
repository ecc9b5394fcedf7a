"""Denoise one picture of any size, gray or colour, 8 or 16 bits or float, with a converted denoiser."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Network
from ..pictures.ranges import SampleRange, from_unit, to_unit
from ..pictures.samples import join_transparency, split_transparency, without_equal_channels
from .inference import (
    Processed,
    Watched,
    check_steps,
    checked_picture,
    kept_readout,
    model_for,
    named,
    recommended_steps,
    run_padded,
)

DEFAULT_MODELS = {1: "denoise-gray-fast", 3: "denoise-colour-fast"}
"""Shipped denoisers to take where none is named, by the picture's colour channels."""

PREDICTIONS = ("noise", "picture")
"""What a denoiser may put out, as "predicts" in its metadata says: the noise (also where nothing is said), or the clean
picture itself."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Denoised(Processed):
    """A denoised picture, and the run that it came from.

    Parameters
    ----------
    picture : (H, W) or (H, W, C), dtype of the noisy picture
        Result with the samples, shape and transparency of the noisy picture.
    noisy, restored : (H, W) or (H, W, 1 or 3) float32
        Before and after from black 0 to white 1, without transparency; `restored` is clipped and not rounded.
    size : (H, W)
        Of the picture, without padding.
    result : Result
        Events and operations of the run on the padded picture. A gray model sees each colour channel as a picture of
        its own, equal ones as a single picture, and the counts are their sums.
    """

    picture: NDArray[Any]
    noisy: NDArray[np.float32]
    restored: NDArray[np.float32]


def denoise(
    picture: ArrayLike,
    model: str | os.PathLike[str] | Network | None = None,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    sample_range: SampleRange | None = None,
    watch: bool = False,
) -> Denoised:
    """Denoise a picture.

    The picture is padded by reflection to a size that the network takes; the network's readout, divided by the number
    of steps, is the noise that it sees, which is taken off, or where its metadata say `"predicts": "picture"` the clean
    picture itself; the result is cropped and clipped to [0, 1].

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        Any size. C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency, which is kept as it is.
        Float samples are on the scale from black 0 to white 1; noise may take them moderately beyond it.
    model : str, path or Network, optional
        Name of a shipped model, a model file, or a network. A gray model denoises each colour channel by itself, and
        three equal channels, a black-and-white picture, as one. By default denoise-gray-fast for gray and
        black-and-white pictures, denoise-colour-fast for others.
    steps : int, optional
        Number of time steps, 1 to 1000; by default what the model's metadata recommends, or 8.
    threads : int, optional
        Worker threads; by default all processors.
    order : "layer" or "time"
        Order of the simulation; both give the same picture.
    tile : int, optional
        Rows of the picture to work on at a time, see `simulate`; changes nothing but memory.
    kernels : str or collection of str
        Which kernels may run the layers, see `simulate`; changes nothing but the time.
    sample_range : (low, high), optional
        Samples of black and white, to which the result is scaled back, such as (0, 4095) for 12 bits in uint16; by
        default those of the sample type. Samples may lie moderately beyond it; the result does not.
    watch : bool
        Whether to keep what a report shows, in `watched`: the network's input, and the result after each step.

    Returns
    -------
    Denoised

    Raises
    ------
    InputError
        If the model is not a denoiser, its metadata name another prediction, it is for colour where the picture is
        gray, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or far outside [0, 1] or its range.
    ModelFileError
        If the model cannot be loaded.

    Warns
    -----
    PictureWarning
        If no range is given and the samples use less than half of their type's.
    """
    samples, limits = checked_picture(picture, sample_range)
    colors, transparency = split_transparency(samples)
    noisy = to_unit(colors, limits)
    gray = without_equal_channels(noisy)
    network = denoiser(DEFAULT_MODELS[_channels(gray)] if model is None else model)
    seen = gray if network.input.channels == 1 else noisy
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    check_colors(network, _channels(seen))
    batch = seen.reshape(*seen.shape[:2], -1, network.input.channels).transpose(2, 3, 0, 1)
    kept, predicts = kept_readout(network, batch, steps, watch), prediction_in(network.metadata)
    run = run_padded(network, batch, steps=steps, threads=threads, order=order, record=kept, tile=tile, kernels=kernels)
    restored = restore(seen, run.cropped(run.result.output), predicts)
    by_step = np.stack([restore(seen, each, predicts) for each in run.outputs_by_step()]) if kept else None
    if seen.ndim < noisy.ndim:
        restored = np.repeat(restored[..., None], noisy.shape[2], axis=2)
    return Denoised(
        picture=join_transparency(from_unit(restored, limits, samples.dtype), transparency),
        noisy=noisy,
        restored=restored,
        size=run.size,
        result=run.result,
        watched=Watched(noisy, batch, by_step) if watch else None,
    )


def _channels(colors: NDArray[np.float32]) -> int:
    return 1 if colors.ndim == 2 else colors.shape[2]


def restore(noisy: NDArray[np.float32], output: NDArray[np.float32], predicts: str = "noise") -> NDArray[np.float32]:
    """The picture that an output means, (H, W) or (H, W, C), clipped to [0, 1].

    `predicts` is one of PREDICTIONS: noise is taken off the noisy picture. `output` is (N, O, H, W): a gray network's
    N pictures are the colour channels.
    """
    found = output.transpose(2, 3, 0, 1).reshape(noisy.shape)
    restored: NDArray[np.float32] = np.clip(found if predicts == "picture" else noisy - found, 0, 1)
    return restored


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
    network = model_for("denoise", model)
    prediction_in(network.metadata)
    side = network.size_multiple
    outputs = network.shapes((network.input.channels, side, side))[network.output.name]
    if outputs != (network.input.channels, side, side):
        raise InputError(
            f"the model {named(model)} puts out {outputs[0]}x{outputs[1]}x{outputs[2]} for a picture of "
            f"{network.input.channels}x{side}x{side}; a denoiser puts out what it takes"
        )
    return network


def check_colors(network: Network, colors: int) -> None:
    """InputError where the network cannot take pictures of so many colour channels, one by one or together."""
    wanted = network.input.channels
    if wanted not in (1, colors):
        kind = "a gray picture" if colors == 1 else f"{colors} colour channels"
        raise InputError(f"the model takes pictures of {wanted} channels and got {kind}; choose a gray model")
