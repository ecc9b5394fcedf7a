"""What every task on whole pictures shares: the model's task, checks, padding, the run, and what it cost."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, PictureWarning
from ..graph import Network
from ..operations import Operations
from ..operations.energy import DEFAULT_ENERGY_MODEL
from ..pictures.fitting import fitted
from ..pictures.padding import crop
from ..pictures.ranges import SampleRange, check_sample_range, type_range, unused_range
from ..pictures.samples import as_picture, split_transparency
from ..results.result import joined_kernels
from ..simulation import Result, simulate
from ..simulation.simulate import check_whole
from .frame_runs import FrameRuns

DEFAULT_STEPS = 8
MAXIMUM_STEPS = 1000
"""More steps than this change nothing that a picture could show."""

MAXIMUM_THREADS = 1024


MOST_WATCHED = 1 << 26
"""Numbers of a readout over all steps beyond which a watched run does not keep what it found after each: 256 MiB."""


_ACTIVITIES = {
    "denoise": "denoising",
    "derain": "deraining",
    "segment": "segmentation",
    "classify": "classification",
    "resample": "resampling",
}


@dataclass(frozen=True, eq=False)
class Watched:
    """What a run was shown and what it had found after each step, for a report.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) float32
        What was given, from black 0 to white 1, without transparency.
    inputs : (N, C, H, W) float32
        What the network saw, before padding.
    by_step : (T, ...) or None
        After each step the restored picture (float32), or the labels (uint8); None where that was not kept.
    """

    picture: NDArray[np.float32]
    inputs: NDArray[np.float32]
    by_step: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Processed:
    """A picture that went through a network, and what that took.

    Parameters
    ----------
    size : (H, W)
        Of the picture, without padding.
    result : Result
        Events and operations of the run on the padded picture.
    watched : Watched or None
        Of a run with `watch`.
    """

    size: tuple[int, int]
    result: Result
    watched: Watched | None = None

    @property
    def pixels(self) -> int:
        """Height times width, without padding."""
        return self.size[0] * self.size[1]

    @property
    def accumulates_per_pixel(self) -> float:
        """Accumulates of the whole run, padding included, for each pixel of the picture."""
        return self.result.total_accumulates / self.pixels

    def joules(self, model: str = DEFAULT_ENERGY_MODEL, reading: str | None = None) -> float:
        """Estimated energy in joules of the run's operations; see `Operations.energy`."""
        return self.result.operations.energy(model, reading).spiking


@dataclass(frozen=True, eq=False)
class PaddedRun:
    """A run on padded pictures: its result, and where in it the pictures lie."""

    result: Result
    origin: tuple[int, int]
    size: tuple[int, int]

    def cropped(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pictures' part (..., H, W) of an array that covers the padding, too."""
        return crop(array, self.origin, self.size)

    def outputs_by_step(self) -> Iterator[NDArray[np.float32]]:
        """After each step what `cropped(result.output)` is after the last one; the recorded readout is given up."""
        readout = self.result.readout
        self.result.recorded.pop("readout")
        by_step = readout if readout.ndim == 4 else readout.swapaxes(0, 1)
        for step, total in enumerate(by_step, 1):
            yield self.cropped(total / np.float32(step))


def kept_readout(network: Network, batch: NDArray[np.float32], steps: int, watch: bool) -> tuple[str, ...]:
    """What to record of a run that is watched: the readout, where it is not too large."""
    size = batch.size // batch.shape[-3] * max(1, class_count(network)) * steps
    return ("readout",) if watch and size <= MOST_WATCHED else ()


def run_padded(
    network: Network,
    batch: NDArray[np.float32],
    *,
    steps: int,
    threads: int | None = None,
    order: str = "layer",
    record: Collection[str] = (),
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    frames: FrameRuns | None = None,
) -> PaddedRun:
    """Pad pictures (N, C, H, W) or one of them by reflection to a size that the network takes, and run it on them.

    With `frames` they are what it sees of the next frame of a stream, which is run as these say; what is to be recorded
    is run by itself.
    """
    padded, origin = fitted(network, batch, pads=True)
    padded = np.ascontiguousarray(padded)
    if frames is not None and not record:
        return PaddedRun(frames.run(network, padded, steps), origin, (batch.shape[-2], batch.shape[-1]))
    result = simulate(
        network, padded, steps=steps, order=order, threads=threads, record=record, tile=tile, kernels=kernels
    )
    if frames is not None:
        frames.note_recorded(result)
    return PaddedRun(result, origin, (batch.shape[-2], batch.shape[-1]))


def idle_result(steps: int) -> Result:
    """The result of a run that was not needed: no outputs, and all counts 0."""
    return Result(outputs={}, steps=steps, operations=Operations(steps, 1, {}, {}), seconds=0.0)


def joined(first: Result, second: Result) -> Result:
    """Two runs of one network as a single result without outputs: counts and seconds are their sums."""
    return Result(
        outputs={},
        steps=first.steps,
        operations=first.operations + second.operations,
        seconds=first.seconds + second.seconds,
        kernels=joined_kernels(first, second),
    )


def checked_picture(
    picture: object, sample_range: SampleRange | None, *, warn: bool = True, levels: int = 3
) -> tuple[NDArray[Any], SampleRange]:
    """What a caller gives for a picture as an array, and its black and white; a warning where these seem to be others.

    `levels` says how many calls up the warning belongs.

    Raises
    ------
    PictureError
        If it is no picture.
    InputError
        If the range is none, or not one of the picture's sample type.
    """
    named = None if sample_range is None else check_sample_range(sample_range)
    samples = as_picture(picture, named or (0.0, 1.0))
    if named is not None:
        return samples, check_sample_range(named, samples.dtype)
    unused = unused_range(split_transparency(samples)[0]) if warn else None
    if unused is not None:
        warnings.warn(f"the picture: {unused}", PictureWarning, stacklevel=levels)
    return samples, type_range(samples.dtype)


def task_of(network: Network) -> str:
    """What the network's metadata says that it is for, "denoise" where it says nothing."""
    return task_in(network.metadata)


def task_in(metadata: Mapping[str, Any]) -> str:
    """What metadata say that their network is for, "denoise" where they say nothing."""
    task = str(metadata.get("task", "denoise"))
    return {activity: name for name, activity in _ACTIVITIES.items()}.get(task, task)


def model_for(task: str, model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is for `task`, a key of `networks.NETWORKS`; InputError otherwise."""
    if isinstance(model, Network):
        network = model
    else:
        from ..models import shared_model

        network = shared_model(model)
    found = task_of(network)
    if found != task:
        other = f", or use `spikeunet {found}`" if found in _ACTIVITIES else ""
        raise InputError(
            f"the model {named(model)} is for {found!r}, not for {_ACTIVITIES[task]}; choose another{other}"
        )
    return network


def class_count(network: Network) -> int:
    """Number of the network's outputs, 0 where a picture decides it."""
    return network.channels[network.output.name]


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


def check_threads(threads: object) -> int | None:
    """`threads` where it is None, for all processors, or a number that `simulate` takes; InputError otherwise."""
    return None if threads is None else check_whole("threads", threads, MAXIMUM_THREADS)
