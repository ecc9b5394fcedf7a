"""Pictures with a class each, the batches that a classifier trains on, and its validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...datasets import Dataset
from ...errors import InputError, first_few
from ...graph import Network
from ...tasks.classification import read_example, run_whole
from .data import MAXIMUM_BATCH, Array, Picture

Classified = tuple[Picture, int]
"""A picture as the network sees it, (H, W, C) float32, and its class."""

VALIDATION_BATCH = 32


class ClassificationBatches:
    """Pictures as a whole, moved by some pixels and mirrored where that leaves their class as it is.

    Parameters
    ----------
    examples : sequence of Classified
        All of one size, of two classes at least.
    batch : int
        Number of pictures in a batch.
    shift : int
        Pixels by which each is moved at most, up or down and left or right; what comes in is the edge, repeated.
    mirrored : bool
        Whether left and right are exchanged in half of them: not for digits and letters.
    names : sequence of str
        What errors call the pictures, such as their files; their numbers where there are none.

    Raises
    ------
    InputError
        If there are no pictures, they differ in size or are of one class, or a number is out of range.
    """

    def __init__(
        self,
        examples: Sequence[Classified],
        batch: int = 8,
        shift: int = 0,
        mirrored: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        check_classified(examples, names)
        found = {label for _, label in examples}
        if len(found) < 2:
            raise InputError(
                f"training needs pictures of at least two classes (got {len(examples)} of class {min(found)})"
            )
        if not 1 <= batch <= MAXIMUM_BATCH:
            raise InputError(f"the batch must have 1 to {MAXIMUM_BATCH} pictures (got {batch})")
        height, width = examples[0][0].shape[:2]
        if not 0 <= shift < min(height, width):
            raise InputError(
                f"pictures of {height}x{width} may be moved by 0 to {min(height, width) - 1} (got {shift})"
            )
        self.examples = list(examples)
        self.batch = batch
        self.shift = shift
        self.mirrored = mirrored

    def draw(self, generator: np.random.Generator) -> tuple[Array, Array]:
        """Pictures (batch, H, W, C) float32 and their classes (batch, 1, 1) int64."""
        drawn = [self._one(generator) for _ in range(self.batch)]
        labels = np.array([label for _, label in drawn], np.int64)
        return np.stack([picture for picture, _ in drawn]), labels[:, None, None]

    def _one(self, generator: np.random.Generator) -> Classified:
        picture, label = self.examples[int(generator.integers(len(self.examples)))]
        if self.shift:
            edges = [(self.shift, self.shift), (self.shift, self.shift), (0, 0)]
            top, left = (int(place) for place in generator.integers(2 * self.shift + 1, size=2))
            picture = np.pad(picture, edges, mode="edge")[top:, left:][: picture.shape[0], : picture.shape[1]]
        if self.mirrored and generator.integers(2):
            picture = picture[:, ::-1]
        return picture, label


@dataclass(frozen=True)
class ClassificationValidation:
    """Share of pictures whose class was found, and accumulates for each of their pixels, all steps together."""

    accuracy: float
    accumulates_per_pixel: float


def read_classified(dataset: Dataset, network: Network) -> list[Classified]:
    """All pictures of a data set as the network sees them, preprocessing included, with their classes.

    Raises
    ------
    InputError, PictureError, OSError
        If a file cannot be read, or its channels or its size are not those that the network takes.
    """
    read = (read_example(example, network) for example in dataset.examples)
    return [(np.ascontiguousarray(picture.transpose(1, 2, 0)), label) for picture, label in read]


def validate_classifier(
    network: Network, examples: Sequence[Classified], steps: int, threads: int | None = None
) -> ClassificationValidation:
    """Classify pictures of one size, and count those that are right."""
    right = accumulates = pixels = 0
    for start in range(0, len(examples), VALIDATION_BATCH):
        part = examples[start : start + VALIDATION_BATCH]
        batch = np.stack([picture.transpose(2, 0, 1) for picture, _ in part])
        result = run_whole(network, batch, steps=steps, threads=threads).result
        labels = np.array([label for _, label in part])
        right += int((result.output[:, :, 0, 0].argmax(axis=1) == labels).sum())
        accumulates += result.total_accumulates
        pixels += batch.size // batch.shape[1]
    return ClassificationValidation(right / len(examples), accumulates / pixels)


def check_classified(examples: Sequence[Classified], names: Sequence[str] = ()) -> None:
    """InputError where there are no pictures, or they differ in size."""
    pictures = [picture for picture, _ in examples]
    if not pictures:
        raise InputError("training needs at least one picture (got none)")
    for index, picture in enumerate(pictures):
        if picture.ndim != 3 or picture.shape != pictures[0].shape:
            sizes = ["x".join(map(str, each.shape)) for each in (picture, pictures[0])]
            name = first_few([names[index] if names else f"training picture {index}"])
            raise InputError(
                f"{name} is {sizes[0]} (height x width x channels), but others are {sizes[1]}; convert the model with "
                "--resize, or resize the pictures"
            )
