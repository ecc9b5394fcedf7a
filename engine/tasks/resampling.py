"""Enlarge one picture of any size, gray or colour, 8 or 16 bits or float, by a spiking network."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Network
from ..pictures.ranges import SampleRange, to_unit
from ..pictures.samples import split_transparency
from ..resampling.enlargement import enlargement_of
from ..resampling.networks import SHAPES, WHOLE, Question, question_of
from ..resampling.tables import Tables
from ..threads import using_threads
from .inference import (
    MOST_WATCHED,
    PaddedRun,
    Processed,
    Watched,
    check_steps,
    check_threads,
    checked_picture,
    class_count,
    kept_readout,
    model_for,
    named,
    recommended_steps,
    run_padded,
)

DEFAULT_MODEL = "resample-small"
"""Shipped network to take where none is named."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Resampled(Processed):
    """An enlarged picture, and the run that it came from.

    Parameters
    ----------
    picture : (height, width) or (height, width, C), dtype of the picture that was given
        The result, with its transparency.
    sample_range : (low, high)
        Samples of black and white.
    size : (H, W)
        Of the picture that was given, whose pixels counts per pixel are for.
    result : Result
        Events and operations of the run on the picture and its margin. Each colour channel is a picture of its own for
        the network, equal ones are a single picture, and the counts are their sums.
    """

    picture: NDArray[Any]
    sample_range: SampleRange

    @property
    def enlarged(self) -> NDArray[np.float32]:
        """The result from black 0 to white 1, without transparency."""
        return to_unit(split_transparency(self.picture)[0], self.sample_range)


def resample(
    picture: ArrayLike,
    scale: float | None = None,
    model: str | os.PathLike[str] | Network | None = None,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    sample_range: SampleRange | None = None,
    watch: bool = False,
    *,
    size: tuple[int, int] | None = None,
    tables: Tables | None = None,
) -> Resampled:
    """Enlarge a picture, each channel by itself; transparency linearly.

    The network says of each pixel what to add to it and how it reaches into its surroundings; a pixel of the result is
    the mean of four, weighted so.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency. Float samples are on the scale from
        black 0 to white 1. Samples are rounded to 16 bits from black to white, and so is what the network adds.
    scale : float, optional
        From 1 to 64, not necessarily whole; the size is that of the picture times it, rounded up.
    model : str, path or Network, optional
        Name of a shipped model, a model file, or a network, for resampling; resample-small where it is left out.
    steps, threads, order, tile, kernels
        See `denoise`.
    sample_range : (low, high), optional
        Samples of black and white; by default those of the sample type.
    watch : bool
        Whether to keep what a report shows, in `watched`: the network's input, and the result after each step.
    size : (height, width), optional
        In place of `scale`; the two directions may differ.
    tables : Tables, optional
        Of a model in place of their second stage alone; `resample_by_tables` takes tables without a model.

    Returns
    -------
    Resampled

    Raises
    ------
    InputError
        If the model is not for resampling, there are no tables and it needs them, or there are and it does not, not one
        of scale and size is named, the size is smaller than the picture or too large, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or beyond black and white.
    ModelFileError
        If the model cannot be loaded.

    Warns
    -----
    PictureWarning
        If no range is given, and the samples use less than half of their type's.

    Notes
    -----
    In place of the tables of Li et al., Learning Steerable Function for Efficient Image Resampling, CVPR 2023, and
    arXiv 2407.09935.
    """
    if model is None and tables is not None:
        raise InputError(
            "tables go with a model in place of their second stage, and none is named; resample_by_tables(picture, "
            "tables, scale) takes them alone, and counts nothing"
        )
    network = resampler(DEFAULT_MODEL if model is None else model)
    check_tables(network, tables)
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    samples, limits = checked_picture(picture, sample_range)
    enlargement = enlargement_of(samples, limits, scale, size, fine=tables is None)
    threads = check_threads(threads)
    options: dict[str, Any] = {"threads": threads, "order": order, "tile": tile, "kernels": kernels}
    with using_threads(threads):
        return _resampled(question_of(enlargement, tables), network, steps, watch, options)


def _resampled(question: Question, network: Network, steps: int, watch: bool, options: dict[str, Any]) -> Resampled:
    enlargement, batch = question.enlargement, question.batch
    kept = kept_readout(network, batch, steps, watch and _fits(question, steps))
    run = run_padded(network, batch, steps=steps, record=kept, **options)
    return Resampled(
        picture=question.picture(run.cropped(run.result.output)),
        sample_range=enlargement.limits,
        size=enlargement.size,
        result=run.result,
        watched=_watched(question, batch, run if kept else None) if watch else None,
    )


def _fits(question: Question, steps: int) -> bool:
    """Whether the results after each step are not too large to be kept."""
    (downs, _), (across, _) = question.enlargement.axes
    return steps * len(question.planes) * len(downs) * len(across) <= MOST_WATCHED


def _watched(question: Question, batch: NDArray[np.float32], run: PaddedRun | None) -> Watched:
    """What a report shows; without a run that recorded its readout, nothing of the steps."""
    enlargement = question.enlargement
    colors = to_unit(split_transparency(enlargement.samples)[0], enlargement.limits)
    by_step = None if run is None else np.stack([question.unit_picture(each) for each in run.outputs_by_step()])
    return Watched(colors, batch, by_step)


def resampler(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is for resampling; InputError otherwise."""
    network = model_for("resample", model)
    inputs, outputs = network.input.channels, class_count(network)
    if inputs != 1 or outputs not in (*SHAPES, WHOLE):
        raise InputError(
            f"the model {named(model)} takes {inputs} channels and puts out {outputs}; one that says how to resample "
            "takes 1 and puts out 4, or to go with tables 3 or 1"
        )
    side = network.size_multiple
    shape = network.shapes((1, side, side))[network.output.name]
    if shape[1:] != (side, side):
        raise InputError(
            f"the model {named(model)} puts out {'x'.join(map(str, shape))} for a picture of {side}x{side}; resampling "
            "needs what it says of each pixel, of the picture's own size"
        )
    return network


def takes_tables(network: Network) -> bool:
    """Whether a resampler stands in place of the tables' second stage alone, not of both."""
    return class_count(network) != WHOLE


def check_tables(network: Network, tables: object) -> None:
    """InputError unless there are tables for a resampler that takes them, and none for another."""
    if not takes_tables(network) and tables is not None:
        raise InputError("the model takes the place of both stages of the tables; leave the tables out")
    if takes_tables(network) and not isinstance(tables, Tables):
        raise InputError(
            "a model in place of the second stage alone needs tables, as --tables and read_tables(folder) give them "
            f"(got {tables!r:.60}); {DEFAULT_MODEL} needs none"
        )
