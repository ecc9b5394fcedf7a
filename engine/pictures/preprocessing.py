"""What a model wants done to a picture first: steps that its metadata lists by name and parameters, never as code.

`metadata["preprocessing"]` is a list of objects, each with the `name` of a step and its parameters:

================== =================================== ==============================================================
name               parameters (default)                what it does, as scikit-image's function of that name
================== =================================== ==============================================================
rgb2gray           none                                luminance of a colour picture; gray stays
channel            index                               one channel of a colour picture, 1 for green; gray stays
equalize_adapthist kernel_size (an eighth of each      contrast-limited adaptive histogram equalisation (CLAHE); of
                   side), clip_limit (0.01), nbins     colour, the value channel
                   (256)
adjust_gamma       gamma, gain (1)                     gain * sample ** gamma: a gamma below 1 brightens
rescale_intensity  none                                darkest sample 0, brightest 1; an even picture stays
gray2rgb           none                                gray three times; colour stays
resize             height, width                       bilinear, over the area that becomes a pixel where it shrinks
resize_shorter     side                                likewise, so that the shorter side has that length
center_crop        height, width                       the middle of the picture, which must be as large
normalize          mean, std: lists, a number for each (sample - mean) / std
                   channel or one for all
================== =================================== ==============================================================

The steps that change the size are for classifiers: a pixel of the result is none of the picture's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..graph import Network
from .contrast import LEVELS, equalized, luminance, stretched
from .ranges import SampleRange, to_unit, type_range
from .resizing import MOST_SIDE, center_crop, resize, resize_shorter
from .samples import as_picture, split_transparency

Picture = NDArray[np.float32]

MOST_STEPS = 32
"""Steps of a model: each goes through the whole picture."""

MOST_CHANNELS = 4
"""Numbers of a parameter that has one for each channel."""

_MOST_PADDING = 16
"""Pixels that CLAHE pads the picture to, for each of its own: tiles no larger than the picture need four, if square."""

_MOST_BINS_PER_PIXEL = 4
"""Bins of all of CLAHE's histograms, for each pixel of the padded picture: 256 of a tile of 8x8 pixels."""

_ALWAYS = 1 << 22
"""Numbers that are not too many for the smallest picture."""


@dataclass(frozen=True)
class _Step:
    """A step: its function of a picture (H, W, C) and parameters, and for each parameter its type and range.

    The type of a parameter that has a number for each channel is list. `channels` is how many a picture has afterwards,
    None for as many as before; `size` are the parameters that say the size that it has afterwards.
    """

    apply: Callable[..., NDArray[Any]]
    parameters: Mapping[str, tuple[type, float, float]]
    required: tuple[str, ...] = ()
    channels: int | None = None
    keeps_size: bool = True
    size: tuple[str, ...] = ()


def _rgb2gray(picture: Picture) -> NDArray[Any]:
    return luminance(picture) if picture.shape[2] == 3 else picture


def _channel(picture: Picture, index: int) -> NDArray[Any]:
    return picture[..., index : index + 1] if picture.shape[2] == 3 else picture


def _equalize(picture: Picture, **parameters: Any) -> NDArray[Any]:
    _check_tiles(picture.shape[:2], parameters.get("kernel_size"), parameters.get("nbins", 256))
    return equalized(np.clip(picture, 0, 1), **parameters)


def _check_tiles(size: tuple[int, ...], kernel_size: int | None, nbins: int) -> None:
    """Refuse tiles of CLAHE whose padding or histograms would take far more than the picture."""
    sides = [kernel_size or max(side // 8, 1) for side in size]
    tiles = [-(-side // kernel) for side, kernel in zip(size, sides, strict=True)]
    padded = math.prod((number + 1) * kernel for number, kernel in zip(tiles, sides, strict=True))
    # A tile costs time whatever its histogram: as much as the usual one.
    bins = math.prod(tiles) * max(nbins, 256)
    if padded > max(_MOST_PADDING * math.prod(size), _ALWAYS):
        kernel = f"kernel_size {kernel_size} of the preprocessing step equalize_adapthist"
        raise InputError(f"{kernel} is too large for a picture of {size[0]}x{size[1]}; take at most its shorter side")
    if bins > max(_MOST_BINS_PER_PIXEL * padded, _ALWAYS):
        raise InputError(
            f"the preprocessing step equalize_adapthist would make {math.prod(tiles)} histograms of {nbins} bins of a "
            f"picture of {size[0]}x{size[1]}; take a larger kernel_size (got {kernel_size}) or fewer nbins"
        )


def _adjust_gamma(picture: Picture, gamma: float, gain: float = 1.0) -> NDArray[Any]:
    return np.clip(picture, 0, 1) ** gamma * gain


def _gray2rgb(picture: Picture) -> NDArray[Any]:
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def _normalize(picture: Picture, mean: Sequence[float], std: Sequence[float]) -> NDArray[Any]:
    counts = (len(mean), len(std))
    if not {*counts} <= {1, picture.shape[2]}:
        raise InputError(
            f"the preprocessing step normalize has {counts[0]} means and {counts[1]} standard deviations, but the "
            f"picture {picture.shape[2]} channel(s); give one for each"
        )
    return (picture - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)


_SIDE = (int, 1, MOST_SIDE)
_SIZE = ("height", "width")

_STEPS: dict[str, _Step] = {
    "rgb2gray": _Step(_rgb2gray, {}, channels=1),
    "channel": _Step(_channel, {"index": (int, 0, 2)}, ("index",), channels=1),
    "equalize_adapthist": _Step(
        _equalize, {"kernel_size": (int, 2, 65536), "clip_limit": (float, 0, 1), "nbins": (int, 2, LEVELS)}
    ),
    "adjust_gamma": _Step(_adjust_gamma, {"gamma": (float, 0.01, 100), "gain": (float, 0.01, 100)}, ("gamma",)),
    "rescale_intensity": _Step(stretched, {}),
    "gray2rgb": _Step(_gray2rgb, {}, channels=3),
    "resize": _Step(resize, dict.fromkeys(_SIZE, _SIDE), _SIZE, keeps_size=False, size=_SIZE),
    "resize_shorter": _Step(resize_shorter, {"side": _SIDE}, ("side",), keeps_size=False),
    "center_crop": _Step(center_crop, dict.fromkeys(_SIZE, _SIDE), _SIZE, keeps_size=False, size=_SIZE),
    "normalize": _Step(_normalize, {"mean": (list, -1e3, 1e3), "std": (list, 1e-4, 1e3)}, ("mean", "std")),
}


_STRETCHING = ("equalize_adapthist", "rescale_intensity")


def check_preprocessing(steps: object) -> list[dict[str, Any]]:
    """`steps` where it is a list of steps as metadata holds them; InputError otherwise."""
    if not isinstance(steps, Sequence) or isinstance(steps, (str, bytes)):
        raise InputError(f"preprocessing must be a list of steps, each with a name and parameters (got {steps!r:.80})")
    if len(steps) > MOST_STEPS:
        raise InputError(f"preprocessing must have at most {MOST_STEPS} steps (got {len(steps)})")
    return [_checked_step(step) for step in steps]


def _checked_step(step: object) -> dict[str, Any]:
    if not isinstance(step, Mapping) or str(step.get("name")) not in _STEPS:
        raise InputError(f"a preprocessing step must have one of the names {', '.join(_STEPS)} (got {step!r:.80})")
    name = str(step["name"])
    known = _STEPS[name]
    given = {key: value for key, value in step.items() if key != "name"}
    unknown = [str(key) for key in given if key not in known.parameters]
    missing = [key for key in known.required if key not in given]
    if unknown or missing:
        fault = f"takes no parameter {unknown[0]!r}" if unknown else f"needs the parameter {missing[0]!r}"
        raise InputError(f"the preprocessing step {name} {fault}; it has {', '.join(known.parameters) or 'none'}")
    for key, value in given.items():
        kind, least, most = known.parameters[key]
        if not _fits(value, kind, least, most):
            raise InputError(
                f"{key} of the preprocessing step {name} must be {_WHATS[kind]} from {least:g} to {most:g} "
                f"(got {value!r:.40})"
            )
    return dict(step)


_WHATS = {float: "a number", int: "a whole number", list: f"a list of 1 to {MOST_CHANNELS} numbers"}


def _fits(value: object, kind: type, least: float, most: float) -> bool:
    """Whether a parameter is of its type and in its range."""
    if kind is list:
        several = isinstance(value, Sequence) and not isinstance(value, str) and 1 <= len(value) <= MOST_CHANNELS
        return several and all(_fits(each, float, least, most) for each in value)  # type: ignore[attr-defined]
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        return False
    return math.isfinite(value) and least <= value <= most


def preprocess(picture: Picture, steps: object) -> Picture:
    """Apply checked or unchecked steps to a picture (H, W, C) float32 in [0, 1], C 1 or 3."""
    for step in check_preprocessing(steps):
        parameters = {key: value for key, value in step.items() if key != "name"}
        picture = np.asarray(_STEPS[step["name"]].apply(picture, **parameters), np.float32)
    return picture


def stretches(steps: object) -> bool:
    """Whether steps bring any picture's samples to the range from 0 to 1, whatever they are."""
    return any(step["name"] in _STRETCHING for step in check_preprocessing(steps))


def keeps_size(steps: object) -> bool:
    """Whether a pixel of what comes out of steps is the picture's pixel at that place."""
    return all(_STEPS[step["name"]].keeps_size for step in check_preprocessing(steps))


def final_size(steps: object) -> tuple[int, int] | None:
    """(H, W) of what comes out of steps, where it does not depend on the picture; else None."""
    found = None
    for step in check_preprocessing(steps):
        known = _STEPS[step["name"]]
        if not known.keeps_size:
            found = (step[known.size[0]], step[known.size[1]]) if known.size else None
    return found


def channels_behind(steps: object, channels: int) -> int:
    """Channels of what comes out of steps, for a picture of so many."""
    for step in check_preprocessing(steps):
        channels = _STEPS[step["name"]].channels or channels
    return channels


def network_input(picture: NDArray[Any], network: Network, sample_range: SampleRange | None = None) -> Picture:
    """What a network that sees all channels of a picture together gets to see of it.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16 or float
        Transparency, the last of 2 or 4 channels, is dropped.
    network : Network
        Its metadata may list preprocessing. After it, colour is averaged for a network of one channel and gray is
        repeated for a network of several.
    sample_range : (low, high), optional
        Samples of black and white; by default those of the sample type.

    Returns
    -------
    (channels, H, W) float32

    Raises
    ------
    InputError
        If the metadata's preprocessing makes no sense, or the picture has another number of channels.
    PictureError
        If `picture` is none.
    """
    samples = as_picture(picture, sample_range or (0.0, 1.0))
    opaque, _ = split_transparency(samples)
    colors = to_unit(opaque, sample_range or type_range(samples.dtype)).reshape(*opaque.shape[:2], -1)
    prepared = preprocess(colors, network.metadata.get("preprocessing", ()))
    return np.ascontiguousarray(match_channels(prepared, network.input.channels).transpose(2, 0, 1))


def match_channels(picture: Picture, channels: int) -> Picture:
    """(H, W, channels): colour averaged for one channel, gray repeated for several; InputError where neither fits."""
    found = picture.shape[2]
    if channels == 1:
        gray: Picture = picture.mean(axis=2, keepdims=True, dtype=np.float32)
        return gray
    if found == 1:
        return np.repeat(picture, channels, axis=2)
    if found != channels:
        raise InputError(f"the picture has {found} colour channels, but the model takes {channels}; convert it")
    return picture
