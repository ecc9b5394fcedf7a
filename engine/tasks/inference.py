"""What every task on whole pictures shares: the model's task, checks, padding, the run, and what it cost."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PictureError
from ..graph import Network
from ..operations.energy import DEFAULT_ENERGY_MODEL
from ..pictures.padding import crop, pad_to_multiple
from ..pictures.picture_files import check_range
from ..simulation import Result, simulate

DEFAULT_STEPS = 8
MAXIMUM_STEPS = 1000
"""More steps than this change nothing that a picture could show."""

FLOAT_LIMITS = (-8.0, 9.0)
"""Noise of any sensible strength keeps a picture in [0, 1] within these; samples from 0 to 255 are outside."""

_ACTIVITIES = {"denoise": "denoising", "segment": "segmentation"}
_PICTURE_TYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True, eq=False, kw_only=True)
class Processed:
    """A picture that went through a network, and what that took.

    Parameters
    ----------
    size : (H, W)
        Of the picture, without padding.
    result : Result
        Events and operations of the run on the padded picture.
    """

    size: tuple[int, int]
    result: Result

    @property
    def pixels(self) -> int:
        """Height times width, without padding."""
        return self.size[0] * self.size[1]

    @property
    def accumulates_per_pixel(self) -> float:
        """Accumulates of the whole run, padding included, for each pixel of the picture."""
        return self.result.total_accumulates / self.pixels

    def joules(self, model: str = DEFAULT_ENERGY_MODEL) -> float:
        """Estimated energy in joules of the run's operations; see ENERGY_MODELS."""
        return self.result.operations.energy(model).spiking


@dataclass(frozen=True, eq=False)
class PaddedRun:
    """A run on padded pictures: its result, and where in it the pictures lie."""

    result: Result
    origin: tuple[int, int]
    size: tuple[int, int]

    def cropped(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pictures' part (..., H, W) of an array that covers the padding, too."""
        return crop(array, self.origin, self.size)


def run_padded(
    network: Network,
    batch: NDArray[np.float32],
    *,
    steps: int,
    threads: int | None = None,
    order: str = "layer",
    record: Collection[str] = (),
    tile: int | None = None,
) -> PaddedRun:
    """Pad pictures (N, C, H, W) by reflection to a size that the network takes, and run it on them."""
    padded, origin = pad_to_multiple(batch, network.size_multiple)
    padded = np.ascontiguousarray(padded)
    result = simulate(network, padded, steps=steps, order=order, threads=threads, record=record, tile=tile)
    return PaddedRun(result, origin, (batch.shape[-2], batch.shape[-1]))


def task_of(network: Network) -> str:
    """What the network's metadata says that it is for, "denoise" where it says nothing."""
    task = network.metadata.get("task", "denoise")
    return {activity: name for name, activity in _ACTIVITIES.items()}.get(task, str(task))


def model_for(task: str, model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is for `task`, "denoise" or "segment"; InputError otherwise."""
    if isinstance(model, Network):
        network = model
    else:
        from ..models import load_model

        network = load_model(model)
    found = task_of(network)
    if found != task:
        other = f", or use `spikeunet {found}`" if found in _ACTIVITIES else ""
        raise InputError(
            f"the model {named(model)} is for {found!r}, not for {_ACTIVITIES[task]}; choose another{other}"
        )
    return network


def named(model: object) -> str:
    """How a message names a model."""
    return repr(model) if isinstance(model, Network) else repr(str(model))


def recommended_steps(network: Network) -> int:
    """Number of steps in the network's metadata, or 8 where there is none."""
    return check_steps(network.metadata.get("steps", DEFAULT_STEPS))


def check_steps(steps: object) -> int:
    """`steps` where it is a whole number from 1 to 1000; InputError otherwise."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= MAXIMUM_STEPS:
        raise InputError(f"steps must be a whole number from 1 to {MAXIMUM_STEPS} (got {steps!r})")
    return int(steps)


def check_picture(samples: NDArray[Any]) -> None:
    """PictureError where an array is no picture: its shape, sample type or range."""
    shape = samples.shape
    if len(shape) not in (2, 3) or not samples.size or (len(shape) == 3 and shape[2] > 4):
        raise PictureError(f"a picture must have the shape (H, W) or (H, W, 1 to 4), none of them 0 (got {shape})")
    if samples.dtype.name not in _PICTURE_TYPES:
        raise PictureError(f"picture samples must be uint8, uint16 or float (got {samples.dtype})")
    if samples.dtype.kind == "f":
        check_range(samples, *FLOAT_LIMITS)


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
