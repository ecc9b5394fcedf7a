"""Segment one picture of any size with a converted network: a class for each pixel."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..graph import Network
from ..pictures.fitting import smallest_size
from ..pictures.labels import MAXIMUM_CLASSES, OVERLAY_OPACITY, classes_of, overlay, palette_of
from ..pictures.preprocessing import keeps_size, network_input, stretches
from ..pictures.ranges import SampleRange, to_unit
from ..pictures.samples import as_picture, split_transparency
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

DEFAULT_MODEL = "segment-street"


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmented(Processed):
    """Classes of a picture's pixels, and the run that they came from.

    Parameters
    ----------
    labels : (H, W) uint8
        Class of each pixel: the output with the largest score, the first of equal ones.
    scores : (O, H, W) float32
        Readout after the last step, divided by the number of steps: the logits.
    classes : tuple of str
        Name of each class.
    palette : tuple of (red, green, blue)
        Colour of each class, 0 to 255.
    sample_range : (low, high)
        Samples of the picture's black and white.
    size : (H, W)
    result : Result
        Events and operations of the run on the padded picture.
    """

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    sample_range: SampleRange

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(O, H, W) float32, softmax of the scores over the classes."""
        return softmax(self.scores)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the picture's pixels by class."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return {name: int(count) / self.pixels for name, count in zip(self.classes, counts, strict=True)}

    def overlay(self, picture: ArrayLike, opacity: float = OVERLAY_OPACITY) -> NDArray[np.uint8]:
        """(H, W, 3) uint8: the picture, (H, W) or (H, W, C), with the classes' colours laid over it."""
        opaque, _ = split_transparency(as_picture(picture, self.sample_range))
        return overlay(to_unit(opaque, self.sample_range), self.labels, self.palette, opacity)


def segment(
    picture: ArrayLike,
    model: str | os.PathLike[str] | Network = DEFAULT_MODEL,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    sample_range: SampleRange | None = None,
    watch: bool = False,
) -> Segmented:
    """Tell the class of each pixel of a picture.

    The picture gets the preprocessing that the model's metadata names, is padded by reflection to a size that the
    network takes, and run; the accumulated readout is cropped, and its largest output is a pixel's class.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        Any size. C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency, which is not looked at.
        Float samples are on the scale from black 0 to white 1. A gray model sees the mean of the colours, a colour
        model sees gray three times, unless the preprocessing says otherwise.
    model : str, path or Network
        Name of a shipped model, a model file, or a network, for segmentation.
    steps : int, optional
        Number of time steps, 1 to 1000; by default what the model's metadata recommends, or 8.
    threads : int, optional
        Worker threads; by default all processors.
    order : "layer" or "time"
        Order of the simulation; both give the same labels.
    tile : int, optional
        Rows of the picture to work on at a time, see `simulate`; changes nothing but memory.
    kernels : str or collection of str
        Which kernels may run the layers, see `simulate`; changes nothing but the time.
    sample_range : (low, high), optional
        Samples of black and white, such as (0, 4095) for 12 bits in uint16; by default those of the sample type.
    watch : bool
        Whether to keep what a report shows, in `watched`: the network's input, and the result after each step.

    Returns
    -------
    Segmented

    Raises
    ------
    InputError
        If the model is not for segmentation, its metadata does not fit, or an argument is out of range.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or far outside [0, 1] or its range.
    ModelFileError
        If the model cannot be loaded.

    Warns
    -----
    PictureWarning
        If no range is given, the samples use less than half of their type's, and the preprocessing makes it matter.
    """
    network = segmenter(model)
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    checked, limits = checked_picture(picture, sample_range, warn=not stretches(preprocessing_of(network)))
    options = {"threads": threads, "order": order, "tile": tile, "kernels": kernels}
    return segmented(checked, network, limits, steps=steps, watch=watch, **options)


def preprocessing_of(network: Network) -> Any:
    """What is done to a picture first, as the network's metadata list it."""
    return network.metadata.get("preprocessing", ())


def segmented(
    checked: NDArray[Any], network: Network, limits: SampleRange, *, steps: int, watch: bool = False, **options: Any
) -> Segmented:
    """A picture that was checked, with its black and white, by a segmenter; `options` are those of `run_padded`."""
    samples = network_input(checked, network, limits)
    kept = kept_readout(network, samples, steps, watch)
    run = run_padded(network, samples, steps=steps, record=kept, **options)
    scores = run.cropped(run.result.output)
    by_step = np.stack([labels_of(each) for each in run.outputs_by_step()]) if kept else None
    return Segmented(
        labels=labels_of(scores),
        scores=scores,
        classes=classes_of(network.metadata, len(scores)),
        palette=palette_of(network.metadata, len(scores)),
        sample_range=limits,
        size=run.size,
        result=run.result,
        watched=Watched(_shown(checked, limits), samples[None], by_step) if watch else None,
    )


def _shown(checked: NDArray[Any], limits: SampleRange) -> NDArray[np.float32]:
    return to_unit(split_transparency(checked)[0], limits)


def segmenter(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is for segmentation and its metadata fit; InputError otherwise."""
    network = model_for("segment", model)
    height, width = smallest_size(network)
    outputs = network.shapes((network.input.channels, height, width))[network.output.name]
    if len(outputs) != 3 or outputs[1:] != (height, width) or not 2 <= outputs[0] <= MAXIMUM_CLASSES:
        raise InputError(
            f"the model {named(model)} puts out {'x'.join(map(str, outputs))} for a picture of {height}x{width}; "
            f"segmentation needs a picture of 2 to {MAXIMUM_CLASSES} outputs, one for each class, and of the same size"
        )
    classes_of(network.metadata, outputs[0])
    palette_of(network.metadata, outputs[0])
    if not keeps_size(preprocessing_of(network)):
        raise InputError(
            f"the preprocessing of the model {named(model)} changes the size of pictures, but labels are of the "
            "picture's own pixels; leave steps out that resize or crop"
        )
    return network


def labels_of(scores: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """(H, W) uint8, the output with the largest score (O, H, W), the first of equal ones."""
    labels: NDArray[np.uint8] = scores.argmax(axis=0).astype(np.uint8)
    return labels


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities from scores, over the first axis: (O, H, W), or (O,)."""
    from scipy.special import softmax as scipy_softmax

    with np.errstate(over="ignore"):  # The difference of two scores may be: its exponential is 0.
        return scipy_softmax(scores, axis=0)  # type: ignore[no-any-return]
