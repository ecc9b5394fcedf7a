"""Take the rain out of one picture of any size, gray or colour, 8 or 16 bits or float."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..graph import Network
from ..pictures.ranges import SampleRange, from_unit, to_unit
from ..pictures.samples import join_transparency, split_transparency
from .automatic import Plan
from .denoising import Denoised, UnitRun, check_strength, denoise_unit
from .inference import check_steps, checked_picture, model_for, recommended_steps
from .restorers import check_restorer

DEFAULT_MODEL = "derain-small"
"""Shipped derainer to take where none is named."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Derained(Denoised):
    """A picture without its rain, and the run that it came from; `noisy` is the rainy one. See `Denoised`."""


def derain(
    picture: ArrayLike,
    model: str | os.PathLike[str] | Network | None = None,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    sample_range: SampleRange | None = None,
    strength: float | None = None,
    watch: bool = False,
) -> Derained:
    """Take the rain out of a picture.

    The picture is padded by reflection to a size that the network takes; the network's readout, divided by the number
    of steps, is the rain that it sees, which is taken off, or where its metadata say `"predicts": "picture"` the
    picture itself; the result is cropped and clipped to [0, 1].

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        Any size. C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency, which is kept as it is.
        Float samples are on the scale from black 0 to white 1. A colour model sees a gray picture as three equal
        channels; the mean of what it makes of them is the result.
    model : str, path or Network, optional
        Name of a shipped model, a model file, or a network; derain-small where it is left out.
    steps, threads, order, tile, kernels
        See `denoise`.
    sample_range : (low, high), optional
        Samples of black and white, to which the result is scaled back; by default those of the sample type.
    strength : float, optional
        Between the picture as it is, 0, and the model's result, 1, which is the default.
    watch : bool
        See `denoise`.

    Returns
    -------
    Derained

    Raises
    ------
    InputError
        If the model is not a derainer, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or far outside the range named.
    ModelFileError
        If the model cannot be loaded.
    """
    check_strength(strength)
    samples, limits = checked_picture(picture, sample_range)
    colors, transparency = split_transparency(samples)
    rainy = to_unit(colors, limits)
    network = derainer(DEFAULT_MODEL if model is None else model)
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    options: dict[str, Any] = {"steps": steps, "threads": threads, "order": order, "tile": tile, "kernels": kernels}
    run = derain_unit(rainy, network, Plan(), strength, watch=watch, **options)
    return Derained(
        picture=join_transparency(from_unit(run.restored, limits, samples.dtype), transparency),
        noisy=rainy,
        restored=run.restored,
        size=rainy.shape[:2],
        result=run.result,
        watched=run.watched,
    )


def derain_unit(
    rainy: NDArray[np.float32],
    network: Network,
    plan: Plan,
    strength: float | None = None,
    *,
    clipped: bool = True,
    watch: bool = False,
    **options: Any,
) -> UnitRun:
    """As `denoise_unit`; a colour model sees a gray picture as three equal channels, of whose results the mean counts.

    Raises
    ------
    InputError
        If the network cannot take pictures of so many channels.
    """
    channels = network.input.channels
    if channels == 1 or rainy.shape[2:] == (channels,):
        return denoise_unit(rainy, network, plan, strength, clipped=clipped, watch=watch, **options)
    colors = np.repeat(rainy.reshape(*rainy.shape[:2], -1)[..., :1], channels, axis=2)
    run = denoise_unit(colors, network, plan, strength, clipped=clipped, watch=watch, **options)
    watched = run.watched
    if watched is not None and watched.by_step is not None:
        watched = replace(watched, by_step=_mean(watched.by_step, (len(watched.by_step), *rainy.shape)))
    if watched is not None:
        watched = replace(watched, picture=rainy)
    return UnitRun(_mean(run.restored, rainy.shape), run.result, watched)


def _mean(colors: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.asarray(colors.mean(axis=-1, dtype=np.float64), np.float32).reshape(shape)


def derainer(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is a derainer; InputError otherwise."""
    return check_restorer(model_for("derain", model), model, "derainer")
