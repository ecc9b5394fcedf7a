"""Labelled pictures, the random crops that a segmentation trains on, and its validation on whole pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from ...datasets import Dataset, read_example_labels
from ...errors import InputError
from ...graph import Network
from ...pictures.metrics import class_ious, confusion_matrix
from ...pictures.picture_set import picture_set
from ...pictures.preprocessing import network_input, stretches
from ...tasks.inference import class_count, run_padded
from ...tasks.segmentation import labels_of
from .data import Array, Picture, check_pictures, draw_crop

Labels = NDArray[np.int64]
Labelled = tuple[Picture, Labels]
"""A picture as the network sees it, (H, W, C) float32, and the class of each pixel, (H, W), -1 where none counts."""


class SegmentationBatches:
    """Random crops of labelled pictures, flipped and turned alike.

    Parameters
    ----------
    examples : sequence of Labelled
        At least `crop` pixels high and wide.
    crop : int
        Height and width of the crops.
    batch : int
        Number of crops in a batch.
    turns : bool
        Whether to turn crops by quarters; not for pictures that have an up and a down. They are mirrored left to right
        in any case.
    names : sequence of str
        What errors call the pictures, such as their files; their numbers where there are none.

    Raises
    ------
    InputError
        If there are no pictures, one is too small, of another number of channels or not of its labels' size, or a
        number is out of range.
    """

    def __init__(
        self,
        examples: Sequence[Labelled],
        crop: int = 64,
        batch: int = 8,
        turns: bool = True,
        names: Sequence[str] = (),
    ) -> None:
        check_pictures([picture for picture, _ in examples], crop, batch, names)
        for index, (picture, labels) in enumerate(examples):
            if picture.shape[:2] != labels.shape:
                sizes = ["x".join(map(str, shape)) for shape in (labels.shape, picture.shape[:2])]
                name = names[index] if names else f"training picture {index}"
                raise InputError(f"the labels of {name} are {sizes[0]}, the picture is {sizes[1]}")
        self.examples = list(examples)
        self.crop = crop
        self.batch = batch
        self.turns = turns

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """Crops (batch, crop, crop, C) float32 and their labels (batch, crop, crop) int64."""
        crops = [draw_crop(generator, self.examples, self.crop, self.turns) for _ in range(self.batch)]
        return np.stack([picture for picture, _ in crops]), np.stack([labels for _, labels in crops])


@dataclass(frozen=True)
class SegmentationValidation:
    """Scores of all pixels that count together, and accumulates for each pixel, all steps together."""

    accuracy: float
    mean_iou: float
    accumulates_per_pixel: float


def read_labelled(dataset: Dataset, network: Network) -> list[Labelled]:
    """All pictures of a data set as the network sees them, preprocessing included, with their labels.

    Raises
    ------
    InputError, PictureError, OSError
        If a file cannot be read, labels are no classes of the network or of another size than their picture.
    """
    classes = class_count(network)
    labelled = []
    with picture_set(stretched=stretches(network.metadata.get("preprocessing", ()))) as pictures:
        for example in dataset.examples:
            samples = pictures.colors(example.picture)
            size = (samples.shape[0], samples.shape[1])
            picture = np.ascontiguousarray(network_input(samples, network).transpose(1, 2, 0))
            labelled.append((picture, read_example_labels(example, size, classes, dataset.void)))
    return labelled


def class_weights(labels: Iterable[Labels], classes: int, balance: float) -> tuple[float, ...]:
    """(median frequency / frequency) ** balance of each class, 0 for one that does not occur.

    A `balance` of 0 leaves classes as frequent as they are, 1 is median frequency balancing (Eigen and Fergus,
    arXiv 1411.4734, section 6.3); InputError outside of that.
    """
    if not 0 <= balance <= 1:
        raise InputError(f"the balance of the classes must lie in [0, 1] (got {balance})")
    counts = sum((np.bincount(each[each >= 0], minlength=classes) for each in labels), np.zeros(classes, np.int64))
    occurs = counts > 0
    typical = float(np.median(counts[occurs])) if occurs.any() else 0.0
    return tuple((typical / int(count)) ** balance if count else 0.0 for count in counts)


def validate_segmenter(
    network: Network, examples: Sequence[Labelled], steps: int, threads: int | None = None
) -> SegmentationValidation:
    """Segment labelled pictures as a whole; the mean IoU is over the classes that occur."""
    classes = class_count(network)
    matrix = np.zeros((classes, classes), np.int64)
    accumulates = pixels = 0
    for picture, labels in examples:
        run = run_padded(network, picture.transpose(2, 0, 1)[None], steps=steps, threads=threads)
        matrix += confusion_matrix(labels, labels_of(run.cropped(run.result.output)[0]), classes)
        accumulates += run.result.total_accumulates
        pixels += labels.size
    ious = [iou for iou in class_ious(matrix) if iou is not None]
    return SegmentationValidation(int(np.trace(matrix)) / int(matrix.sum()), fmean(ious), accumulates / pixels)
