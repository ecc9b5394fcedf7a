"""Denoise one picture of any size, gray or colour, 8 or 16 bits or float, with a converted denoiser."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .energy import DEFAULT_ENERGY_MODEL
from .errors import InputError, PictureError
from .graph import Network
from .padding import crop, pad_to_multiple
from .pictures import check_range, convert_samples
from .simulation import Result, simulate

DEFAULT_MODEL = "denoise-gray"
DEFAULT_STEPS = 8
MAXIMUM_STEPS = 1000
"""More steps than this change nothing that a picture could show."""

FLOAT_LIMITS = (-8.0, 9.0)
"""Noise of any sensible strength keeps a picture in [0, 1] within these; samples from 0 to 255 are outside."""

_TASKS = ("denoise", "denoising")
_PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Denoised:
    """A denoised picture, and the run that it came from.

    Parameters
    ----------
    picture : (H, W) or (H, W, C), dtype of the noisy picture
        Result with the samples, shape and transparency of the noisy picture.
    noisy, restored : (H, W) or (H, W, 1 or 3) float32
        Before and after, without transparency; `restored` is clipped to [0, 1] and not rounded.
    result : Result
        Events and operations of the run on the padded picture. A gray model sees each colour channel as a picture of
        its own, and the counts are their sums.
    """

    picture: NDArray[Any]
    noisy: NDArray[np.float32]
    restored: NDArray[np.float32]
    result: Result

    @property
    def pixels(self) -> int:
        """Height times width, without padding."""
        return int(self.noisy.shape[0] * self.noisy.shape[1])

    @property
    def accumulates_per_pixel(self) -> float:
        """Accumulates of the whole run, padding included, for each pixel of the picture."""
        return self.result.total_accumulates / self.pixels

    def joules(self, model: str = DEFAULT_ENERGY_MODEL) -> float:
        """Estimated energy in joules of the run's operations; see ENERGY_MODELS."""
        return self.result.operations.energy(model).spiking


def denoise(
    picture: ArrayLike,
    model: str | os.PathLike[str] | Network = DEFAULT_MODEL,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
) -> Denoised:
    """Denoise a picture.

    The picture is padded by reflection to a size that the network takes; the network's readout, divided by the number
    of steps, is the noise that it sees; the difference is cropped and clipped to [0, 1].

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        Any size. C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency, which is kept as it is.
        Float samples are on the scale from black 0 to white 1; noise may take them moderately beyond it.
    model : str, path or Network
        Name of a shipped model, a model file, or a network. A gray model denoises each colour channel by itself.
    steps : int, optional
        Number of time steps, 1 to 1000; by default what the model's metadata recommends, or 8.
    threads : int, optional
        Worker threads; by default all processors.
    order : "layer" or "time"
        Order of the simulation; both give the same picture.

    Returns
    -------
    Denoised

    Raises
    ------
    InputError
        If the model is not a denoiser or is for colour where the picture is gray, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is NaN, or is far outside [0, 1].
    ModelFileError
        If the model cannot be loaded.
    """
    samples = np.asarray(picture)
    _check_picture(samples)
    network = denoiser(model)
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    channels = network.input.channels
    noisy, transparency = split_transparency(samples)
    noisy = convert_samples(noisy, np.dtype(np.float32))
    check_colors(network, 1 if noisy.ndim == 2 else noisy.shape[2])
    batch = noisy.reshape(*noisy.shape[:2], -1, channels).transpose(2, 3, 0, 1)
    padded, origin = pad_to_multiple(batch, network.size_multiple)
    result = simulate(network, np.ascontiguousarray(padded), steps=steps, order=order, threads=threads)
    noise = crop(result.output, origin, noisy.shape[:2]).transpose(2, 3, 0, 1).reshape(noisy.shape)
    restored = np.clip(noisy - noise, 0, 1)
    return Denoised(join_transparency(convert_samples(restored, samples.dtype), transparency), noisy, restored, result)


def denoiser(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is a denoiser; InputError otherwise."""
    if isinstance(model, Network):
        network = model
    else:
        from .models import load_model

        network = load_model(model)
    task = network.metadata.get("task", _TASKS[0])
    if task not in _TASKS:
        raise InputError(f"the model {_named(model)} is for {task!r}, not for denoising; choose another")
    side = network.size_multiple
    outputs = network.shapes((network.input.channels, side, side))[network.output.name]
    if outputs != (network.input.channels, side, side):
        raise InputError(
            f"the model {_named(model)} puts out {outputs[0]}x{outputs[1]}x{outputs[2]} for a picture of "
            f"{network.input.channels}x{side}x{side}; a denoiser puts out what it takes"
        )
    return network


def recommended_steps(network: Network) -> int:
    """Number of steps in the network's metadata, or 8 where there is none."""
    return check_steps(network.metadata.get("steps", DEFAULT_STEPS))


def check_steps(steps: object) -> int:
    """`steps` where it is a whole number from 1 to 1000; InputError otherwise."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= MAXIMUM_STEPS:
        raise InputError(f"steps must be a whole number from 1 to {MAXIMUM_STEPS} (got {steps!r})")
    return int(steps)


def check_colors(network: Network, colors: int) -> None:
    """InputError where the network cannot take pictures of so many colour channels, one by one or together."""
    wanted = network.input.channels
    if wanted not in (1, colors):
        kind = "a gray picture" if colors == 1 else f"{colors} colour channels"
        raise InputError(f"the model takes pictures of {wanted} channels and got {kind}; choose a gray model")


def split_transparency(samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Gray or colour samples, and the transparency (H, W) where the picture has 2 or 4 channels.

    Gray with transparency gives (H, W), so that noise is drawn for it as for any gray picture.
    """
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        colors = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
        return colors, samples[..., -1]
    return samples, None


def join_transparency(samples: NDArray[Any], transparency: NDArray[Any] | None) -> NDArray[Any]:
    """The inverse of `split_transparency`, both of the same sample type."""
    return samples if transparency is None else np.dstack([samples, transparency])


def _check_picture(samples: NDArray[Any]) -> None:
    shape = samples.shape
    if len(shape) not in (2, 3) or not samples.size or (len(shape) == 3 and shape[2] > 4):
        raise PictureError(f"a picture must have the shape (H, W) or (H, W, 1 to 4), none of them 0 (got {shape})")
    if samples.dtype.name not in _PICTURE_TYPES:
        raise PictureError(f"picture samples must be uint8, uint16 or float (got {samples.dtype})")
    if samples.dtype.kind == "f":
        check_range(samples, *FLOAT_LIMITS)


def _named(model: object) -> str:
    return repr(model) if isinstance(model, Network) else repr(str(model))
