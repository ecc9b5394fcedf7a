"""What evaluating does differently for each task: how a picture is prepared, and what is made of the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import read_example_labels
from ..errors import PictureError
from ..graph import Network
from ..pictures.metrics import confusion_matrix
from ..pictures.noise import add_noise
from ..pictures.picture_files import read_colors, read_pair
from ..pictures.preprocessing import network_input
from ..tasks.classification import read_example
from ..tasks.inference import class_count
from ..tasks.restorers import check_colors, prediction_in, restore
from ..tasks.segmentation import labels_of
from .picture_task import PictureTask, Row
from .scores import (
    CLASSIFICATION_SCORES,
    DENOISING_SCORES,
    SEGMENTATION_SCORES,
    area_under_curve,
    classification_scores,
    denoising_scores,
    pack_histogram,
    pooled_pictures,
    pooled_pixels,
    score_histogram,
    segmentation_scores,
)

Output = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture ready for the network, (N, C, H, W) float32, and what scores an output (N, O, H, W) of it."""

    batch: NDArray[np.float32]
    score: Callable[[Output], Row]


@dataclass(frozen=True, eq=False)
class ScoredTask:
    """A task's part of an evaluation.

    Parameters
    ----------
    scores : tuple of str
        Columns of a picture that have a mean.
    prepare : function of a PictureTask and the network
        Reads the picture and what belongs to it.
    pool : function of rows, optional
        Scores of all of them together, which are what the task is measured by.
    facts : tuple of str
        Columns of a picture that have no mean.
    padded : bool
        Whether pictures are padded to what the network takes.
    by_class : bool
        Whether the outputs are scores of classes.
    """

    scores: tuple[str, ...]
    prepare: Callable[[PictureTask, Network], Prepared]
    pool: Callable[[Sequence[Row]], dict[str, Any]] | None = None
    facts: tuple[str, ...] = ()
    padded: bool = True
    by_class: bool = True


def _noisy(task: PictureTask, network: Network) -> Prepared:
    """The picture with noise, or a noisy one with its clean reference."""
    exact, clean = np.dtype(np.float64), None
    if task.example.reference is None:
        picture = read_colors(task.example.picture, exact)
    else:
        picture, clean = read_pair(task.example.picture, task.example.reference, exact)
        if clean.shape != picture.shape:
            sizes = ["x".join(map(str, array.shape)) for array in (clean, picture)]
            raise PictureError(
                f"{task.example.reference}: is {sizes[0]}, but {task.example.picture} is {sizes[1]}; they must agree"
            )
    check_colors(network, 1 if picture.ndim == 2 else picture.shape[2])
    if task.sigma is not None and task.seed is not None:
        noisy = add_noise(picture, task.sigma, task.seed)
    else:
        noisy = picture.astype(np.float32)
    reference = picture if clean is None else clean
    batch = noisy.reshape(*noisy.shape[:2], -1, network.input.channels).transpose(2, 3, 0, 1)
    predicts = prediction_in(network.metadata)
    return Prepared(batch, lambda output: denoising_scores(reference, noisy, restore(noisy, output, predicts)))


def _labelled(task: PictureTask, network: Network) -> Prepared:
    """The picture and the class of each of its pixels."""
    samples = read_colors(task.example.picture)
    picture = network_input(samples, network)
    classes = class_count(network)
    size = (samples.shape[0], samples.shape[1])
    labels = read_example_labels(task.example, size, classes, task.void)

    def score(output: Output) -> Row:
        matrix = confusion_matrix(labels, labels_of(output[0]), classes)
        if classes != 2:
            return {**segmentation_scores(matrix), "confusion": matrix.tolist(), "histogram": None}
        auc = area_under_curve(labels, output[0])
        histogram = pack_histogram(score_histogram(labels, output[0]))
        return {**segmentation_scores(matrix, auc), "confusion": matrix.tolist(), "histogram": histogram}

    return Prepared(picture[None], score)


def _of_a_class(task: PictureTask, network: Network) -> Prepared:
    """The picture and its class."""
    picture, label = read_example(task.example, network)
    classes = class_count(network)
    return Prepared(picture[None], lambda output: classification_scores(label, output[0, :, 0, 0], classes))


SCORED: Mapping[str, ScoredTask] = MappingProxyType(
    {
        "denoise": ScoredTask(DENOISING_SCORES, _noisy, by_class=False),
        "segment": ScoredTask(SEGMENTATION_SCORES, _labelled, pooled_pixels),
        "classify": ScoredTask(
            CLASSIFICATION_SCORES, _of_a_class, pooled_pictures, facts=("label", "predicted"), padded=False
        ),
    }
)
"""By task."""
