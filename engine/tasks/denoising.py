"""Denoise one picture of any size, gray or colour, 8 or 16 bits or float, with a converted denoiser."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import as_array
from ..errors import InputError, PictureError, PictureWarning
from ..graph import Network
from ..pictures.noise_estimate import estimate_unit_noise
from ..pictures.ranges import SampleRange, doubtful_range, from_unit, range_in, to_unit, told_range, within_reach
from ..pictures.resizing import enlarged, shrunk
from ..pictures.samples import check_shape, join_transparency, split_transparency, without_equal_channels
from ..pictures.spread import spread_of
from ..simulation import Result
from .automatic import AUTO, Plan, plan_for
from .endings import ended
from .inference import (
    Processed,
    Watched,
    check_steps,
    checked_picture,
    idle_result,
    joined,
    kept_readout,
    recommended_steps,
    run_padded,
)
from .restorers import check_colors, denoiser, prediction_in, restore
from .views import Seeing, batch_of, check_self_ensemble, noise_in, noise_in_every_other

DEFAULT_MODELS = {1: "denoise-gray", 3: "denoise-colour"}
"""Shipped denoisers to take where none is named, by the picture's colour channels."""

_INCREMENTAL_MODELS = {**DEFAULT_MODELS, 3: "denoise-colour-fast"}
"""The same for exact increments, which take networks without sums of branches."""


def default_models(exact_increments: bool) -> Mapping[int, str]:
    """The models that are taken where none is named, by a picture's colour channels."""
    return _INCREMENTAL_MODELS if exact_increments else DEFAULT_MODELS


@dataclass(frozen=True, eq=False, kw_only=True)
class Denoised(Processed):
    """A denoised picture, and the run that it came from.

    Parameters
    ----------
    picture : (H, W) or (H, W, C), dtype of the noisy picture
        Result with the samples, shape and transparency of the noisy picture.
    noisy, restored : (H, W) or (H, W, 1 or 3) float32
        Before and after from black 0 to white 1, without transparency; `restored` is not rounded, and clipped unless
        the picture was left as it is or its range was found.
    size : (H, W)
        Of the picture, without padding.
    result : Result
        Events and operations of the run on the padded picture. A gray model sees each colour channel as a picture of
        its own, equal ones as a single picture, and the counts are their sums, over views, too; all 0 where the picture
        was left as it is, without `outputs` where the model saw it more than once.
    plan : Plan
        What was found of the noise and what was done about it.
    """

    picture: NDArray[Any]
    noisy: NDArray[np.float32]
    restored: NDArray[np.float32]
    plan: Plan = field(default_factory=Plan)


def denoise(
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
    self_ensemble: int = 1,
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
        Name of a shipped model, a model file, or a network; "auto" for one chosen by the noise that is found, which
        also says how it sees the picture and how much is taken off: a clean picture is left as it is. A gray model
        denoises each colour channel by itself, and three equal channels, a black-and-white picture, as one. By default
        denoise-gray for gray and black-and-white pictures, denoise-colour for others.
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
        Samples of black and white, to which the result is scaled back, such as (0, 4095) for 12 bits in uint16; samples
        may lie moderately beyond it, the result does not. By default those of the sample type, or, where samples of 16
        bits or float use less than half of it, or float samples lie beyond 0 and 1 where noise averages out, what all
        but a thousandth of them lie between; nothing is clipped then.
    strength : float, optional
        Between the picture as it is, 0, and the model's result, 1, which is the default. Where the model is chosen by
        the noise, it stands in place of the share that was found to be right.
    watch : bool
        Whether to keep what a report shows, in `watched`: the network's input, and the result after each step where
        the network saw the picture once, as it is.
    self_ensemble : 1, 2, 4 or 8
        How many times the network sees the picture, turned (2: by 180 degrees, 4: by 90) and mirrored (8); the mean of
        what it puts out counts (geometric self-ensemble: R. Timofte, R. Rothe and L. Van Gool, CVPR 2016). Operations
        and time are those of so many runs.

    Returns
    -------
    Denoised

    Raises
    ------
    InputError
        If the model is not a denoiser, its metadata name another prediction, it is for colour where the picture is
        gray, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or far outside the range named.
    ModelFileError
        If the model cannot be loaded.

    Warns
    -----
    PictureWarning
        If the range was found, or none is given and the samples use less than half of their type's, or float samples
        lie farther beyond 0 and 1 than noise takes them; where the model was chosen, if the noise is not what it was
        trained for.
    """
    check_strength(strength)
    check_self_ensemble(self_ensemble)
    samples, limits, anywhere = ranged_picture(picture, sample_range)
    noisy = to_unit(split_transparency(samples)[0], limits, anywhere=anywhere)
    chosen = chosen_for(noisy, limits, anywhere, model, strength)
    for warning in chosen.plan.warnings:
        warnings.warn(f"the picture: {warning}", PictureWarning, stacklevel=2)
    steps = recommended_steps(chosen.network) if steps is None else check_steps(steps)
    options = {"steps": steps, "threads": threads, "order": order, "tile": tile, "kernels": kernels}
    return denoised(samples, noisy, chosen, strength, watch=watch, self_ensemble=self_ensemble, **options)


class Chosen(NamedTuple):
    """What is taken of a picture, or of the first of a stream: the denoiser, the plan, black and white.

    `anywhere` says that these were found, so that samples may lie beyond them.
    """

    network: Network
    plan: Plan
    limits: SampleRange
    anywhere: bool


def chosen_for(
    noisy: NDArray[np.float32],
    limits: SampleRange,
    anywhere: bool,
    model: str | os.PathLike[str] | Network | None,
    strength: float | None,
    defaults: Mapping[int, str] = DEFAULT_MODELS,
) -> Chosen:
    """What suits a picture, whose colours are `noisy` from 0 to 1; InputError where the model is no denoiser."""
    gray = without_equal_channels(noisy)
    plan = plan_of(within_reach(gray) if anywhere else gray, strength) if is_auto(model) else Plan()
    network = denoiser(plan.model or (defaults[_channels(gray)] if model is None else model))
    return Chosen(network, plan, limits, anywhere)


def denoised(
    samples: NDArray[Any],
    noisy: NDArray[np.float32],
    chosen: Chosen,
    strength: float | None,
    *,
    watch: bool = False,
    **options: Any,
) -> Denoised:
    """A picture denoised as was chosen; `noisy` are its colours from 0 to 1, `options` those of `denoise_unit`."""
    limits, anywhere = chosen.limits, chosen.anywhere
    _, transparency = split_transparency(samples)
    run = denoise_unit(noisy, chosen.network, chosen.plan, strength, clipped=not anywhere, watch=watch, **options)
    touched = chosen.plan.weight > 0 and strength != 0
    return Denoised(
        picture=join_transparency(from_unit(run.restored, limits, samples.dtype, anywhere=anywhere), transparency)
        if touched
        else samples.copy(),
        noisy=noisy,
        restored=run.restored,
        size=noisy.shape[:2],
        result=run.result,
        watched=run.watched,
        plan=chosen.plan,
    )


def is_auto(model: object) -> bool:
    """Whether the model is to be chosen by the noise."""
    return isinstance(model, str) and model == AUTO


def ranged_picture(picture: object, sample_range: SampleRange | None) -> tuple[NDArray[Any], SampleRange, bool]:
    """The picture, its black and white, and whether these were found, so that samples may lie anywhere."""
    if sample_range is None:
        samples = as_array(picture, "the picture", PictureError)
        check_shape(samples)
        colors, _ = split_transparency(samples)
        # Pictures of 8 bits are taken as they are.
        spreads = [] if colors.dtype == np.uint8 else [spread_of(colors)]
        found = range_in(spreads) if spreads else None
        if found is not None:
            warnings.warn(f"the picture: {told_range(spreads, found)}", PictureWarning, stacklevel=3)
            return samples, found, True
    samples, limits = checked_picture(picture, sample_range, levels=4)
    doubt = doubtful_range(split_transparency(samples)[0]) if sample_range is None else None
    if doubt is not None:
        warnings.warn(f"the picture: {doubt}", PictureWarning, stacklevel=3)
    return samples, limits, False


def check_strength(strength: float | None) -> None:
    """InputError where a strength is none from 0 to 1."""
    number = isinstance(strength, (int, float, np.number)) and not isinstance(strength, bool)
    if strength is not None and not (number and 0 <= strength <= 1):
        raise InputError(f"the strength must lie between 0, the picture as it is, and 1 (got {strength!r})")


def plan_of(gray: NDArray[np.float32], strength: float | None = None) -> Plan:
    """What to do about the noise of a picture from 0 to 1, equal channels as one; all of it with a strength named."""
    plan = plan_for(estimate_unit_noise(gray), _channels(gray))
    return plan if strength is None else replace(plan, weight=1.0)


class UnitRun(NamedTuple):
    """A picture from 0 to 1 denoised, the run, and what a report shows of it where it was watched."""

    restored: NDArray[np.float32]
    result: Result
    watched: Watched | None


def denoise_unit(
    noisy: NDArray[np.float32],
    network: Network,
    plan: Plan,
    strength: float | None = None,
    *,
    clipped: bool = True,
    watch: bool = False,
    self_ensemble: int = 1,
    **options: Any,
) -> UnitRun:
    """A picture from black 0 to white 1 denoised by a plan, with the shape that it came in, and the run.

    Parameters
    ----------
    noisy : (H, W) or (H, W, 1 or 3) float32
    network : Network
        A denoiser.
    plan : Plan
    strength : float, optional
    clipped : bool
        Whether the result is clipped to [0, 1].
    watch, self_ensemble
        See `denoise`.
    **options
        `steps` and others of `run_padded`.

    Raises
    ------
    InputError
        If the network cannot take pictures of so many channels.
    """
    gray = without_equal_channels(noisy)
    seen = gray if network.input.channels == 1 else noisy
    check_colors(network, _channels(seen))
    watched = Watched(noisy, batch_of(seen, network), None) if watch else None
    if not plan.weight or strength == 0:
        return UnitRun(noisy, idle_result(options["steps"]), watched)
    if plan.plain and clipped and self_ensemble == 1:
        restored, by_step, result = _restored_plainly(seen, network, watch, options)
        watched = replace(watched, by_step=_blended(seen, by_step, strength)) if watched else None
    else:
        restored, result = _restored(seen, Seeing(network, options, self_ensemble), plan, clipped)
    restored = _blended(seen, restored, strength)
    if seen.ndim < noisy.ndim:
        restored = np.repeat(restored[..., None], noisy.shape[2], axis=2)
    return UnitRun(restored, result, watched)


Blended = TypeVar("Blended", NDArray[np.float32], NDArray[np.float32] | None)


def _blended(seen: NDArray[np.float32], restored: Blended, strength: float | None) -> Blended:
    """Between the picture as it is and what was made of it."""
    if restored is None or strength is None or strength >= 1:
        return restored
    return seen + np.float32(strength) * (restored - seen)


def _restored_plainly(
    seen: NDArray[np.float32], network: Network, watch: bool, options: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, Result]:
    """What a network makes of a picture as it is, after each step where that is watched, and the run."""
    batch, predicts = batch_of(seen, network), prediction_in(network.metadata)
    kept = kept_readout(network, batch, options["steps"], watch)
    run = run_padded(network, batch, record=kept, **options)

    def made_of(output: NDArray[np.float32]) -> NDArray[np.float32]:
        return restore(seen, ended(output, network.metadata), predicts)

    restored = made_of(run.cropped(run.result.output))
    by_step = np.stack([made_of(each) for each in run.outputs_by_step()]) if kept else None
    return restored, by_step, run.result


def _restored(
    seen: NDArray[np.float32], seeing: Seeing, plan: Plan, clipped: bool
) -> tuple[NDArray[np.float32], Result]:
    """What a plan makes of a picture, and the run."""
    # Where the range was found, a hot pixel may lie anywhere; it is seen as far as noise would take it, and what lies
    # beyond stays where it is: means of pixels must not spread it.
    near = seen if clipped else within_reach(seen)
    small = shrunk(near, plan.halvings)
    shown = plan.shown(small)
    shown = shown if clipped else within_reach(shown)
    noise, result = noise_in(shown, seeing)
    if plan.split:
        apart, second = noise_in_every_other(shown, seeing)
        noise, result = (noise + apart) / np.float32(2), joined(result, second)
    restored = plan.without(small, noise)
    if plan.halvings:
        restored = enlarged(restored, seen.shape, plan.halvings)
    return (np.clip(restored, np.float32(0), np.float32(1)) if clipped else restored + (seen - near)), result


def _channels(colors: NDArray[np.float32]) -> int:
    return 1 if colors.ndim == 2 else colors.shape[2]
