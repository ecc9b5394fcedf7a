"""Classify a whole picture with a converted network: one class, and how far the others lie behind."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets import Classes, Example
from ..errors import InputError
from ..graph import Network
from ..pictures.fitting import exported_size
from ..pictures.labels import classes_of
from ..pictures.picture_files import load_picture, warn_of
from ..pictures.preprocessing import channels_behind, check_preprocessing, final_size, preprocess, stretches
from ..pictures.ranges import SCALE_FIRST, SampleRange, to_unit, type_range
from ..pictures.samples import as_picture, split_transparency, without_equal_channels
from ..simulation import simulate
from .endings import endings_of
from .inference import (
    PaddedRun,
    Processed,
    Watched,
    check_steps,
    checked_picture,
    class_count,
    model_for,
    named,
    recommended_steps,
)
from .segmentation import softmax

MOST_CLASSES = 1 << 20
"""Outputs that are taken for classes."""

DARKEST_WHITE = 64
"""Of 255: a picture whose brightest sample lies below is likely to have been meant for another range."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Classified(Processed):
    """A picture's class, and the run that it came from.

    Parameters
    ----------
    scores : (O,) float32
        Readout after the last step, divided by the number of steps: the logits.
    probabilities : (O,) float32
        Softmax of the scores, or the sigmoid of each where the converted network ended in one.
    classes : tuple of str
        Name of each class.
    sample_range : (low, high)
        Samples of the picture's black and white.
    size : (H, W)
        Of the picture as the network sees it.
    result : Result
        Events and operations of the run.
    """

    scores: Scores
    probabilities: Scores
    classes: tuple[str, ...]
    sample_range: SampleRange

    @property
    def label(self) -> int:
        """The output with the largest score, the first of equal ones."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Name of that class."""
        return self.classes[self.label]

    def top(self, count: int = 5) -> list[tuple[str, float, float]]:
        """Name, probability and score of the `count` classes with the largest scores, the largest first."""
        order = ranking(self.scores)[:count]
        return [(self.classes[index], float(self.probabilities[index]), float(self.scores[index])) for index in order]


def classify(
    picture: ArrayLike,
    model: str | os.PathLike[str] | Network,
    steps: int | None = None,
    threads: int | None = None,
    order: str = "layer",
    tile: int | None = None,
    kernels: str | Collection[str] = "auto",
    sample_range: SampleRange | None = None,
    classes: Sequence[str] | None = None,
    watch: bool = False,
) -> Classified:
    """Tell the class of a picture.

    The picture gets the preprocessing that the model's metadata names (size, mean and deviation) and is run as it then
    is, without padding; the readout, divided by the number of steps, are the scores.

    Parameters
    ----------
    picture : (H, W) or (H, W, C) uint8, uint16, or float
        C is 1 for gray, 3 for colour; the last of 2 or 4 channels is transparency, which is not looked at. Float
        samples are on the scale from black 0 to white 1. Three equal channels are gray to a model that takes gray.
    model : str, path or Network
        Name of a model, a model file, or a network, for classification.
    steps : int, optional
        Number of time steps, 1 to 1000; by default what the model's metadata recommends, or 8.
    threads : int, optional
        Worker threads; by default all processors.
    order : "layer" or "time"
        Order of the simulation; both give the same scores.
    tile : int, optional
        Rows of the picture to work on at a time, see `simulate`; changes nothing but memory.
    kernels : str or collection of str
        Which kernels may run the layers, see `simulate`; changes nothing but the time.
    sample_range : (low, high), optional
        Samples of black and white, such as (0, 4095) for 12 bits in uint16; by default those of the sample type.
    classes : sequence of str, optional
        Names in place of those that the model's metadata have.

    Returns
    -------
    Classified

    Raises
    ------
    InputError
        If the model is not for classification, its metadata does not fit, an argument is out of range, or the picture
        has not the channels or the size that the model takes.
    PictureError
        If the picture has another shape or sample type, is masked, NaN, or far outside [0, 1] or its range.
    ModelFileError
        If the model cannot be loaded.

    Warns
    -----
    PictureWarning
        If no range is given, the samples use less than half of their type's, and the preprocessing makes it matter.
    """
    network = with_classes(classifier(model), classes)
    steps = recommended_steps(network) if steps is None else check_steps(steps)
    certain = has_certain_range(network, picture)
    checked, limits = checked_picture(picture, sample_range, warn=not certain)
    seen = classifier_input(checked, network, limits)
    run = run_whole(network, seen[None], steps=steps, threads=threads, order=order, tile=tile, kernels=kernels)
    scores = run.result.output[0, :, 0, 0]
    shown = Watched(to_unit(split_transparency(checked)[0], limits), seen[None]) if watch else None
    return Classified(
        scores=scores,
        probabilities=probabilities_of(scores, network),
        classes=classes_of(network.metadata, len(scores)),
        sample_range=limits,
        size=run.size,
        result=run.result,
        watched=shown,
    )


def classifier(model: str | os.PathLike[str] | Network) -> Network:
    """The network that `model` names, where it is for classification and its metadata fit; InputError otherwise."""
    network = model_for("classify", model)
    outputs = class_count(network)
    if not 2 <= outputs <= MOST_CLASSES:
        what = f"{outputs} output" if outputs else "outputs whose number a picture decides"
        raise InputError(
            f"the model {named(model)} has {what}; classification needs 2 to {MOST_CLASSES}, one for each class"
        )
    classes_of(network.metadata, outputs)
    check_preprocessing(network.metadata.get("preprocessing", ()))
    size = seen_size(network)
    if size is not None:
        check_size(network, size, f"the model {named(model)}")
    return network


def with_classes(network: Network, names: Sequence[str] | None) -> Network:
    """The network with other names of its classes, where there are some; InputError where they do not fit."""
    if names is None:
        return network
    metadata = {**network.metadata, "classes": list(names)}
    count = class_count(network)
    if len(metadata["classes"]) != count:
        raise InputError(f"{len(metadata['classes'])} names of classes are given, but the model has {count} outputs")
    classes_of(metadata, count)
    return network.replace(metadata=metadata)


def known_classes(network: Network) -> Classes:
    """How many classes a classifier has, and how its metadata call them, None where they do not."""
    names = network.metadata.get("classes")
    return Classes(class_count(network), None if names is None else tuple(names))


def seen_size(network: Network) -> tuple[int, int] | None:
    """(H, W) of what the network sees of any picture, as far as its metadata say it."""
    return final_size(network.metadata.get("preprocessing", ())) or exported_size(network)


def check_size(network: Network, size: tuple[int, int], what: str) -> None:
    """InputError where pictures of a size (H, W) do not make one number for each class; `what` begins the message."""
    wanted = exported_size(network)
    if wanted not in (None, size):
        raise InputError(
            f"{what} has {_by(size)} pixels, but the model was made for {_by(wanted)}; resize the picture, or convert "
            f"the model with --resize {_by(wanted)}"
        )
    try:
        outputs = network.shapes((network.input.channels, *size))[network.output.name]
    except InputError:
        raise InputError(
            f"{what} has {_by(size)} pixels, which the model does not take; give it pictures of the size that it was "
            "trained on, or convert it with --resize to that size"
        ) from None
    if outputs[1:] != (1, 1):
        raise InputError(
            f"the model puts out {'x'.join(map(str, outputs))} for a picture of {_by(size)}; classification needs one "
            "number for each class: resize the picture, or take a network that ends in a global average"
        )


def _by(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))


def classifier_input(picture: NDArray[Any], network: Network, sample_range: SampleRange | None = None) -> Scores:
    """What a classifier gets to see of a picture, (channels, H, W) float32.

    As `network_input`, but that neither gray nor colour is made of the other, unless the preprocessing does so: the
    network may be taught to look at just that. Three equal channels are gray.

    Raises
    ------
    InputError
        If the picture has other channels than the model takes, or another size.
    PictureError
        If `picture` is none.
    """
    samples = as_picture(picture, sample_range or (0.0, 1.0))
    opaque, _ = split_transparency(samples)
    steps, wanted = network.metadata.get("preprocessing", ()), network.input.channels
    if channels_behind(steps, 1) == wanted:
        opaque = without_equal_channels(opaque)
    colors = to_unit(opaque, sample_range or type_range(samples.dtype)).reshape(*opaque.shape[:2], -1)
    if channels_behind(steps, colors.shape[2]) != wanted:
        raise InputError(_other_colors(colors.shape[2], wanted))
    prepared = preprocess(colors, steps)
    check_size(network, (prepared.shape[0], prepared.shape[1]), "the picture")
    return np.ascontiguousarray(prepared.transpose(2, 0, 1))


def has_certain_range(network: Network, samples: object) -> bool:
    """Whether nothing need be said of samples that use little of their type's range.

    That is so where the preprocessing stretches them, and of bytes that are not all dark: many of the small pictures
    that are classified have little contrast, while digits from 0 to 16 for instance were not meant to be that dark.
    """
    if stretches(network.metadata.get("preprocessing", ())):
        return True
    if not isinstance(samples, np.ndarray) or samples.dtype != np.uint8:
        return False
    return bool((np.asarray(samples) >= DARKEST_WHITE).any())


def read_example(example: Example, network: Network) -> tuple[Scores, int]:
    """The picture of an example as the network sees it, (channels, H, W) float32, and its class.

    Raises
    ------
    InputError, PictureError, OSError
        If it has no class, cannot be read, or its channels or its size are not those that the network takes.
    """
    if example.label is None:
        raise InputError(f"{example.picture}: has no class; put it into a folder that is called by it")
    try:
        picture = load_picture(example.picture)
        warn_of(example.picture, picture, stretched=has_certain_range(network, picture.samples), remedy=SCALE_FIRST)
        return classifier_input(picture.samples, network, picture.sample_range), example.label
    except InputError as error:
        raise InputError(f"{example.picture}: {error}") from None


def _other_colors(found: int, wanted: int) -> str:
    what = {1: "gray", 3: "colour"}
    step = {(3, 1): "rgb2gray", (1, 3): "gray2rgb"}.get((found, wanted))
    also = "" if step is None else f', or the model with the preprocessing step "{step}"'
    return (
        f"the picture is {what.get(found, f'of {found} channels')}, but the model takes "
        f"{what.get(wanted, f'pictures of {wanted} channels')}; convert the picture{also}"
    )


def run_whole(network: Network, batch: Scores, **options: Any) -> PaddedRun:
    """Run a network on pictures (N, C, H, W) without padding; options as `simulate` takes them."""
    result = simulate(network, np.ascontiguousarray(batch), **options)
    return PaddedRun(result, (0, 0), (batch.shape[-2], batch.shape[-1]))


def ranking(scores: Scores) -> NDArray[np.int64]:
    """Outputs by their scores (O,), the largest first, of equal ones the first."""
    order: NDArray[np.int64] = np.argsort(-scores.astype(np.float64), kind="stable")
    return order


def probabilities_of(scores: Scores, network: Network) -> Scores:
    """(O,) float32: softmax, or the sigmoid of each score where the converted network ended in one."""
    from scipy.special import expit

    if endings_of(network.metadata) == ("Sigmoid",):
        return expit(scores)  # type: ignore[no-any-return]
    return softmax(scores)
