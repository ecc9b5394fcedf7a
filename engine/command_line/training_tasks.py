"""What fine-tuning does differently for each task: its examples, its loss and its validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .training_files import Row

if TYPE_CHECKING:
    from ..finetune import Batches
    from ..graph import Network

Validate = Callable[["Network", int, "int | None"], Row]
"""Scores by log column of a network at a number of steps, with so many threads."""


@dataclass(frozen=True)
class TrainingTask:
    """A task's part of a training run.

    `score` is the log column of the score to show and `form` its format; `class_weights` are empty for all alike.
    """

    network: Network
    batches: Batches
    validate: Validate | None
    score: str
    form: str
    class_weights: tuple[float, ...] = ()


def denoising_task(
    model: str,
    train: Path,
    validate: Path | None,
    levels: tuple[float, float],
    validate_sigma: float,
    crop: int,
    batch: int,
) -> TrainingTask:
    """Clean pictures with noise of a range of levels; PSNR at one level."""
    from ..finetune import DenoisingBatches, read_pictures, validate_denoiser
    from ..finetune.data import check_crop, read_named_pictures
    from ..pictures.noise import check_sigma
    from ..tasks.denoising import denoiser, prediction_in

    check_sigma(validate_sigma)
    network = denoiser(model)
    check_crop(crop, network.size_multiple)
    pictures = read_named_pictures(train, network.input.channels)
    batches = DenoisingBatches(
        list(pictures.values()),
        levels,
        crop=crop,
        batch=batch,
        names=list(pictures),
        predicts=prediction_in(network.metadata),
    )
    held_out = [] if validate is None else read_pictures(validate, network.input.channels)

    def scores(current: Network, steps: int, threads: int | None) -> Row:
        found = validate_denoiser(current, held_out, validate_sigma, steps, threads)
        return {
            "validation_psnr": found.psnr,
            "validation_accumulates_per_pixel": found.accumulates_per_pixel,
        }

    return TrainingTask(network, batches, scores if held_out else None, "validation_psnr", "{:.3f} dB")


def segmentation_task(
    model: str,
    train: Path,
    labels: Path | None,
    validate: Path | None,
    validate_labels: Path | None,
    void: int | None,
    upright: bool,
    balance: float,
    crop: int,
    batch: int,
) -> TrainingTask:
    """Pictures with label pictures, or the split of a known data set; accuracy and mean IoU."""
    from ..datasets import find_dataset
    from ..finetune import SegmentationBatches, read_labelled, validate_segmenter
    from ..finetune.data import check_crop
    from ..finetune.segmentation_data import class_weights
    from ..tasks.inference import class_count
    from ..tasks.segmentation import segmenter

    network = segmenter(model)
    check_crop(crop, network.size_multiple)
    dataset = find_dataset(_pair(train, labels), "segment", split="train", void=void)
    examples = read_labelled(dataset, network)
    weights = class_weights((each for _, each in examples), class_count(network), balance) if balance else ()
    names = [str(example.picture) for example in dataset.examples]
    batches = SegmentationBatches(examples, crop=crop, batch=batch, turns=not upright, names=names)
    held_out = []
    if validate is not None:
        held_out = read_labelled(find_dataset(_pair(validate, validate_labels), "segment", void=void), network)

    def scores(current: Network, steps: int, threads: int | None) -> Row:
        found = validate_segmenter(current, held_out, steps, threads)
        return {
            "validation_accuracy": found.accuracy,
            "validation_mean_iou": found.mean_iou,
            "validation_accumulates_per_pixel": found.accumulates_per_pixel,
        }

    return TrainingTask(
        network, batches, scores if held_out else None, "validation_mean_iou", "{:.4f} mean IoU", weights
    )


def check_options(task: str, **given: object) -> None:
    """InputError where an option of segmentation is given for another task."""
    if task != "segment":
        for name, value in given.items():
            if value not in (None, False, 0.0):
                raise InputError(f"--{name.replace('_', '-')} is for --task segment (got --task {task})")


def _pair(pictures: Path, labels: Path | None) -> str:
    """A data set as `find_dataset` takes it: NAME=FOLDER alone, else folders of pictures and of labels."""
    from ..datasets.dataset import split_name

    if labels is not None and split_name(str(pictures)) is not None:
        raise InputError(f"{pictures}: a data set by name has its own labels; leave out the folder {labels}")
    return str(pictures) if labels is None else f"{pictures}:{labels}"
